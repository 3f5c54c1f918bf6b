"""A book of account as compiled code over arrays: what a backtest runs through and an environment steps.

The rules are told in `ledger`, the arrays in `book`; here is how. Cost of a session is in the order of the names held
or ordered, not of the names there are.
"""

import numba
import numpy as np

from quant_core.trading.arrays import (
    BOUGHT,
    CASH,
    COST,
    DELISTING,
    DIVIDEND,
    EQUITY,
    FILLS,
    FLAT,
    HAIRCUT,
    IMPACT,
    INTEREST,
    N_SERIES,
    PAID,
    RECEIVED,
    SOLD,
    TURNOVER,
    UNFILLED,
    Log,
)

DUST = 1e-12  # a change smaller than this share of equity is rounding, not a trade
PART = 1e-9  # rounding that must not cost a whole share


# Arrays are passed one by one below the loop, and calls are inlined: taking arrays out of a tuple, or passing twenty of
# them, in every session would cost more than the work.
_inlined = numba.njit(error_model="numpy", inline="always")


@_inlined
def _total(value, active, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(n):
        total += value[active[k]]
    return total


@_inlined
def _drift(value, order, active, n, returns, t):  # type: ignore[no-untyped-def]
    """Holdings and open orders follow the price; an order is a number of shares."""
    for k in range(n):
        i = active[k]
        r = returns[t, i]
        if r == r:
            value[i] *= 1.0 + r
            order[i] *= 1.0 + r


@_inlined
def _write(tape, tape_inr, n, name, event, amount, cost):  # type: ignore[no-untyped-def]
    tape[0, n], tape[1, n], tape_inr[0, n], tape_inr[1, n] = name, event, amount, cost
    return n + 1


@_inlined
def _pay_dividends(t, j, value, active, n, cash, dividend, series, tape, tape_inr, n_taped):  # type: ignore[no-untyped-def]
    for k in range(n):
        i = active[k]
        paid = value[i] * dividend[t, i]
        if paid > 0.0:
            cash[0] += paid
            series[PAID, j] += paid
            n_taped = _write(tape, tape_inr, n_taped, i, DIVIDEND, paid, 0.0)
    return n_taped


@_inlined
def _delist(  # type: ignore[no-untyped-def]
    j, first, last, names, factors, into, growth, haircut, value, order, active, listed, n, cash, series, tape,
    tape_inr, n_taped,
):  # fmt: skip
    """Pay out by the terms, in cash or in another name's shares; without terms the last value less the haircut."""
    for k in range(first, last):
        i, factor = names[k], factors[k]
        worth = value[i]
        value[i], order[i] = 0.0, 0.0
        if not worth > 0.0:
            continue
        if factor != factor:
            lost = haircut * worth
            cash[0] += worth - lost
            series[HAIRCUT, j] += lost
            n_taped = _write(tape, tape_inr, n_taped, i, DELISTING, worth, lost)
            continue
        paid, to = factor * worth, into[k]
        n_taped = _write(tape, tape_inr, n_taped, i, DELISTING, paid, 0.0)
        if to < 0:
            cash[0] += paid
        elif paid > 0.0:
            value[to] += paid * growth[k]
            n_taped = _write(tape, tape_inr, n_taped, to, RECEIVED, paid, 0.0)
            if not listed[to]:
                listed[to], active[n] = True, to
                n += 1
    return n, n_taped


@_inlined
def _cut(wanted, largest, smallest):  # type: ignore[no-untyped-def]
    """A target within the limits on a position."""
    wanted = min(wanted, largest)
    return 0.0 if wanted < smallest else wanted


@_inlined
def _room(names, amounts, first, last, unit, largest, smallest, value, equity):  # type: ignore[no-untyped-def]
    """(rupees kept, what the other targets are multiplied by): 1 unless the names kept leave less than they ask for."""
    kept, asked = 0.0, 0.0
    for j in range(first, last):
        amount = amounts[j]
        if amount == amount:
            asked += _cut(amount * unit, largest, smallest)
        else:
            kept += value[names[j]]
    scale = 1.0
    if kept > 0.0 and kept + asked > equity:
        scale = max(equity - kept, 0.0) / asked
    return kept, scale


@_inlined
def _place_orders(  # type: ignore[no-untyped-def]
    names, amounts, first, last, keeps, when, terms, equity, value, order, decided, active, listed, n,
):  # fmt: skip
    """Replace every open order by what a decision wants: target x equity less what is held, outside the band.

    A name that is kept has no order.
    """
    least, largest, smallest = max(terms.band, DUST) * equity, terms.largest * equity, terms.smallest * equity
    unit, scale = (1.0, 1.0) if terms.in_rupees else (equity, 1.0)
    if keeps and not terms.in_rupees:
        _, scale = _room(names, amounts, first, last, unit, largest, smallest, value, equity)
    for k in range(n):
        i = active[k]
        order[i], decided[i] = -value[i], when
    for j in range(first, last):
        i, amount = names[j], amounts[j]
        if amount != amount:
            order[i] = 0.0
            continue
        wanted = _cut(amount * unit, largest, smallest) * scale
        if wanted == 0.0:
            continue
        if not listed[i]:
            listed[i], active[n], decided[i] = True, i, when
            n += 1
        change = wanted - value[i]
        order[i] = change if abs(change) > least else 0.0
    return n


@_inlined
def _whole(size, price):  # type: ignore[no-untyped-def]
    return np.floor(size / price + PART) * price if price > 0.0 else 0.0


@_inlined
def _possible(t, i, wanted, held, terms, coefficient, traded_value, volatility, price):  # type: ignore[no-untyped-def]
    """What a session lets through of an order in an open name: rupees, impact as a rate on them, whether it was cut.

    Square-root impact, none where traded value or volatility is unknown; no whole shares where the price is.
    """
    size, rate, cut = abs(wanted), 0.0, False
    if terms.participation > 0.0:
        most = terms.participation * traded_value[t, i]
        if not size <= most:  # an unknown traded value lets nothing through
            size, cut = (most if most > 0.0 else 0.0), True
    if terms.whole_shares and not (wanted < 0.0 and size >= held):
        cut = cut or not price[t, i] > 0.0
        size = _whole(size, price[t, i])
    if coefficient > 0.0:
        rate = coefficient * volatility[t, i] * np.sqrt(size / traded_value[t, i])
        rate = rate if np.isfinite(rate) else 0.0
    return size, rate, cut


@_inlined
def _left(t, i, wanted, done, held, whole_shares, equity, price):  # type: ignore[no-untyped-def]
    """What stays open of an order: no rounding, and no part of a share but the last of a name that is sold."""
    left, least = abs(wanted) - done, DUST * equity
    if whole_shares and price[t, i] > 0.0 and not (wanted < 0.0 and left >= held):
        least = max(least, price[t, i] * (1.0 - PART))
    return left if left > least else 0.0


@_inlined
def _fill_orders(  # type: ignore[no-untyped-def]
    t, j, buy_rate, sell_rate, per_sale, coefficient, terms, open_to, traded_value, volatility, price,
    value, order, decided, active, n, cash, series, counts, size, impact, tape, tape_inr, n_taped,
):  # fmt: skip
    """Sales, then purchases as far as cash reaches; what is left of an order stays open only if the terms carry it."""
    equity, proceeds, needed, n_orders, n_unfilled = cash[0], 0.0, 0.0, 0, 0
    plain = terms.participation == 0.0 and not terms.whole_shares and coefficient == 0.0
    for k in range(n):
        i = active[k]
        equity += value[i]
        wanted = order[i]
        size[k], impact[k] = 0.0, 0.0
        if wanted == 0.0:
            continue
        n_orders += 1
        done, rate, cut = abs(wanted), 0.0, False
        if not open_to[t, i] & (1 if wanted > 0.0 else 2):
            done, cut = 0.0, True
        elif not plain:
            done, rate, cut = _possible(t, i, wanted, value[i], terms, coefficient, traded_value, volatility, price)
        n_unfilled += cut
        if wanted > 0.0:
            needed += done * (1.0 + buy_rate + rate)
        else:
            charge = done * (sell_rate + rate) + per_sale
            if done > 0.0 and charge >= done:  # it would not even pay for itself
                done, order[i] = 0.0, 0.0
            elif done > 0.0:
                proceeds += done - charge
        size[k], impact[k] = done, rate
    if n_orders == 0:
        return n_taped
    funds = cash[0] + proceeds
    scale, sale_is_open = (1.0 if needed <= funds else funds / needed), False
    if terms.carry and scale < 1.0:
        for k in range(n):
            i = active[k]
            if order[i] < 0.0:
                held = value[i] - size[k]
                sale_is_open |= _left(t, i, order[i], size[k], held, terms.whole_shares, equity, price) > 0.0
    bought, sold, paid, flat, slipped, n_fills = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for k in range(n):
        i, asked = active[k], size[k]
        wanted = order[i]
        if wanted == 0.0:
            continue
        done = asked
        if wanted > 0.0 and scale < 1.0:
            done = _whole(asked * scale, price[t, i]) if terms.whole_shares else asked * scale
        if done > 0.0:
            if wanted > 0.0:
                cost, signed = done * (buy_rate + impact[k]), done
                bought += done
            else:
                cost, signed = done * (sell_rate + impact[k]) + per_sale, -done
                sold += done
                flat += per_sale
            value[i] += signed
            paid += cost
            slipped += done * impact[k]
            n_fills += 1
            n_taped = _write(tape, tape_inr, n_taped, i, decided[i], signed, cost)
        left = 0.0
        if terms.carry:
            reached = done if sale_is_open else asked
            left = _left(t, i, wanted, reached, value[i], terms.whole_shares, equity, price)
        order[i] = left if wanted > 0.0 else -left
    before = cash[0]
    cash[0] = max(cash[0] + sold - bought - paid, 0.0) if scale == 1.0 or terms.whole_shares else 0.0
    series[BOUGHT, j], series[SOLD, j], series[COST, j] = bought, sold, paid
    series[FLAT, j], series[IMPACT, j] = flat, slipped
    counts[FILLS, j], counts[UNFILLED, j] = n_fills, n_unfilled
    if equity > 0.0:
        series[TURNOVER, j] = 0.5 * (bought + sold + abs(cash[0] - before)) / equity
    return n_taped


@_inlined
def _distance(names, weights, first, last, terms, value, active, n, cash):  # type: ignore[no-untyped-def]
    """One-way distance between target weights, within the limits, and what is held, cash included; 0 for names kept."""
    held_inr = _total(value, active, n)
    equity = cash + held_inr
    kept, scale = _room(names, weights, first, last, equity, terms.largest * equity, terms.smallest * equity, value,
                        equity)  # fmt: skip
    total, invested = (held_inr - kept) / equity, kept / equity
    for j in range(first, last):
        if weights[j] == weights[j]:
            held, weight = value[names[j]] / equity, _cut(weights[j], terms.largest, terms.smallest) * scale
            total += abs(weight - held) - held
            invested += weight
    return 0.5 * (total + abs(1.0 - invested - cash / equity))


@_inlined
def _close_out(value, order, active, listed, n):  # type: ignore[no-untyped-def]
    """Forget the names with neither a value nor an order; returns how many are left."""
    left = 0
    for k in range(n):
        i = active[k]
        if value[i] > 0.0 or order[i] != 0.0:
            active[left] = i
            left += 1
        else:
            listed[i] = False
    return left


@numba.njit(cache=True)
def _longer(table, n, more):  # type: ignore[no-untyped-def]
    """A copy of the (rows, capacity) table with room for `more` columns behind the first n, and as many again."""
    longer = np.empty((table.shape[0], 2 * (n + more)), table.dtype)
    longer[:, :n] = table[:, :n]
    return longer


@numba.njit(cache=True, nogil=True, error_model="numpy")
def advance(first, last, panel, charges, terms, wanted, book):  # type: ignore[no-untyped-def]
    """Take the book through the sessions first..last (excluded) and tell what happened.

    Decisions that fell due before `first` are over; of several that fall due together the last one counts. Taking the
    sessions in several calls, with one book and one `wanted`, is the same as taking them in one.
    """
    before, after, dividend, open_to = panel.before, panel.after, panel.dividend, panel.open_to
    traded_value, volatility, price, cash_return = panel.traded_value, panel.volatility, panel.price, panel.cash_return
    delisted_start, delisted_name, delisted_factor = panel.delisted_start, panel.delisted_name, panel.delisted_factor
    delisted_into, delisted_growth = panel.delisted_into, panel.delisted_growth
    buy, sell, per_sale, coefficient = charges.buy, charges.sell, charges.per_sale, charges.impact
    rows, falls_due, acted = wanted.rows, wanted.due, wanted.acted
    start, names, amounts, keeps = wanted.start, wanted.names, wanted.amounts, wanted.keeps
    value, order, decided, active, listed = book.value, book.order, book.decided, book.active, book.listed
    cash, n = book.cash, book.n_active[0]
    size, impact = np.empty(value.size), np.empty(value.size)
    series, counts = np.zeros((N_SERIES, last - first)), np.zeros((2, last - first), np.int32)
    held_start, tape_start = np.zeros(last - first + 1, np.int64), np.zeros(last - first + 1, np.int64)
    # Room for what a plain run needs; a log that outgrows it is copied.
    room = 64 + (last - first) * names.size // max(rows.size, 1)
    held, held_inr = np.empty((1, room), np.int32), np.empty((1, room))
    room = 64 + 2 * names.size
    tape, tape_inr = np.empty((2, room), np.int32), np.empty((2, room))
    n_held, n_taped = 0, 0
    due, judged = np.searchsorted(falls_due, first), np.searchsorted(rows, first - 1)
    for t in range(first, last):
        j = t - first
        if judged < rows.size and rows[judged] == t - 1:  # the book is still as it was at the close of the decision
            if terms.threshold > 0.0:
                a, b = start[judged], start[judged + 1]
                acted[judged] = _distance(names, amounts, a, b, terms, value, active, n, cash[0]) > terms.threshold
            judged += 1
        if t > terms.opening:
            series[INTEREST, j] = cash[0] * cash_return[t]
            cash[0] += series[INTEREST, j]
        a, b, when, keeping = 0, 0, -1, False
        while due < rows.size and falls_due[due] == t:
            if acted[due]:
                a, b, when, keeping = start[due], start[due + 1], rows[due], keeps[due]
            due += 1
        n_delisted = delisted_start[t + 1] - delisted_start[t]
        room = 2 * n + (b - a) + 3 * n_delisted
        if n_taped + room > tape.shape[1]:
            tape, tape_inr = _longer(tape, n_taped, room), _longer(tape_inr, n_taped, room)
        if dividend.size:
            n_taped = _pay_dividends(t, j, value, active, n, cash, dividend, series, tape, tape_inr, n_taped)
        if n_delisted:
            n, n_taped = _delist(
                j, delisted_start[t], delisted_start[t + 1], delisted_name, delisted_factor, delisted_into,
                delisted_growth, terms.haircut, value, order, active, listed, n, cash, series, tape, tape_inr, n_taped,
            )  # fmt: skip
        _drift(value, order, active, n, before, t)
        if when >= 0:
            equity = cash[0] + _total(value, active, n)
            n = _place_orders(
                names, amounts, a, b, keeping, when, terms, equity, value, order, decided, active, listed, n
            )
        n_taped = _fill_orders(
            t, j, buy[t], sell[t], per_sale[t], coefficient, terms, open_to, traded_value, volatility, price,
            value, order, decided, active, n, cash, series, counts, size, impact, tape, tape_inr, n_taped,
        )  # fmt: skip
        tape_start[j + 1] = n_taped
        if after.size:
            _drift(value, order, active, n, after, t)
        n = _close_out(value, order, active, listed, n)
        if n_held + n > held.shape[1]:
            held, held_inr = _longer(held, n_held, n), _longer(held_inr, n_held, n)
        for k in range(n):
            if value[active[k]] > 0.0:
                held[0, n_held], held_inr[0, n_held] = active[k], value[active[k]]
                n_held += 1
        held_start[j + 1] = n_held
        series[EQUITY, j], series[CASH, j] = cash[0] + _total(value, active, n), cash[0]
        series[COST, j] += series[HAIRCUT, j]
    book.n_active[0] = n
    return Log(
        series, counts, held_start, held[0, :n_held], held_inr[0, :n_held], tape_start, tape[:, :n_taped],
        tape_inr[:, :n_taped],
    )  # fmt: skip
