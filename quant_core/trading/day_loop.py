"""An account day by day, compiled: what a backtest runs through and an environment steps.

The rules are told in `ledger`, the arrays in `arrays`; here is how. Cost of a session is in the order of the names held
or ordered, not of the names there are. All of it is in one file because it is inlined into one loop, and numba's cache
looks at the age of the loop's own file alone: a part that changed elsewhere would go on as it was.
"""

from typing import Any

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


# Nothing below `advance` makes an array, so none of it counts references: with counting, the arrays passed on cost two
# locked instructions each in every session, a third of its time. Compilation fails where an array is made after all.
# Indices are unsigned where the compiler cannot see that they never are negative: such a one would count from the end,
# and asking for it costs as much as the access.
UNCOUNTED: Any = {"error_model": "numpy", "_nrt": False}
_inlined = numba.njit(inline="always", **UNCOUNTED)
#: What only compiled code calls needs no way in from Python, nor anything here one from C: both take long to compile.
_NOT_FROM_C: Any = {"no_cfunc_wrapper": True}
_FROM_HERE: Any = {"no_cpython_wrapper": True, **_NOT_FROM_C}


@_inlined
def _total(value, active, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(n):
        total += value[active[k]]
    return total


@_inlined
def _drift(t, returns, account, n):  # type: ignore[no-untyped-def]
    """Holdings and open orders follow the price, an order is a number of shares; the value of the holdings."""
    value, order, active = account.value, account.order, account.active
    total = 0.0
    for k in range(n):
        i = active[k]
        r = returns[t, i]
        if r == r:
            value[i] *= 1.0 + r
            order[i] *= 1.0 + r
        total += value[i]
    return total


@_inlined
def _write(log, n, name, event, amount, cost):  # type: ignore[no-untyped-def]
    at = np.uint64(n)
    log.tape[0, at], log.tape[1, at], log.tape_inr[0, at], log.tape_inr[1, at] = name, event, amount, cost
    return n + 1


@_inlined
def _pay_dividends(t, j, dividend, account, n, log, n_taped):  # type: ignore[no-untyped-def]
    value, active = account.value, account.active
    for k in range(n):
        i = active[k]
        paid = value[i] * dividend[t, i]
        if paid > 0.0:
            account.cash[0] += paid
            log.series[PAID, j] += paid
            n_taped = _write(log, n_taped, i, DIVIDEND, paid, 0.0)
    return n_taped


@_inlined
def _delist(t, j, market, haircut, account, n, log, n_taped):  # type: ignore[no-untyped-def]
    """Pay out by the terms, in cash or in another name's shares; without terms the last value less the haircut."""
    value, cash = account.value, account.cash
    for k in range(market.delisted_start[t], market.delisted_start[t + 1]):
        i, factor = market.delisted_name[k], market.delisted_factor[k]
        worth = value[i]
        value[i], account.order[i] = 0.0, 0.0
        if not worth > 0.0:
            continue
        if factor != factor:
            lost = haircut * worth
            cash[0] += worth - lost
            log.series[HAIRCUT, j] += lost
            n_taped = _write(log, n_taped, i, DELISTING, worth, lost)
            continue
        paid, to = factor * worth, market.delisted_into[k]
        n_taped = _write(log, n_taped, i, DELISTING, paid, 0.0)
        if to < 0:
            cash[0] += paid
        elif paid > 0.0:
            value[to] += paid * market.delisted_growth[k]
            n_taped = _write(log, n_taped, to, RECEIVED, paid, 0.0)
            if not account.listed[to]:
                account.listed[to], account.active[n] = True, to
                n += 1
    return n, n_taped


@_inlined
def _cut(wanted, largest, smallest):  # type: ignore[no-untyped-def]
    """A target within the limits on a position."""
    wanted = min(wanted, largest)
    return 0.0 if wanted < smallest else wanted


@_inlined
def _room(wanted, first, last, unit, largest, smallest, value, equity):  # type: ignore[no-untyped-def]
    """(rupees kept, what the other targets are multiplied by): 1 unless the names kept leave less than they ask for."""
    kept, asked = 0.0, 0.0
    for j in range(first, last):
        amount = wanted.amounts[j]
        if amount == amount:
            asked += _cut(amount * unit, largest, smallest)
        else:
            kept += value[wanted.names[j]]
    scale = 1.0
    if kept > 0.0 and kept + asked > equity:
        scale = max(equity - kept, 0.0) / asked
    return kept, scale


@_inlined
def _place_orders(wanted, d, terms, equity, account, n):  # type: ignore[no-untyped-def]
    """Replace every open order by what decision `d` wants: target x equity less what is held, outside the band.

    A name that is kept has no order.
    """
    value, order, decided = account.value, account.order, account.decided
    active, listed = account.active, account.listed
    names, amounts, when = wanted.names, wanted.amounts, wanted.rows[d]
    first, last = wanted.start[d], wanted.start[d + 1]
    least, largest, smallest = max(terms.band, DUST) * equity, terms.largest * equity, terms.smallest * equity
    unit, scale = (1.0, 1.0) if terms.in_rupees else (equity, 1.0)
    if wanted.keeps[d] and not terms.in_rupees:
        _, scale = _room(wanted, first, last, unit, largest, smallest, value, equity)
    for k in range(n):
        i = active[k]
        order[i], decided[i] = -value[i], when
    for j in range(first, last):
        i, amount = names[j], amounts[j]
        if amount != amount:
            order[i] = 0.0
            continue
        target = _cut(amount * unit, largest, smallest) * scale
        if target == 0.0:
            continue
        if not listed[i]:
            listed[i], active[n], decided[i] = True, i, when
            n += 1
        change = target - value[i]
        order[i] = change if abs(change) > least else 0.0
    return n


@_inlined
def _whole(size, price):  # type: ignore[no-untyped-def]
    return np.floor(size / price + PART) * price if price > 0.0 else 0.0


@_inlined
def _possible(t, i, wanted, held, terms, coefficient, market):  # type: ignore[no-untyped-def]
    """What a session lets through of an order in an open name: rupees, impact as a rate on them, whether it was cut.

    Square-root impact, none where traded value or volatility is unknown; no whole shares where the price is.
    """
    size, rate, cut = abs(wanted), 0.0, False
    if terms.participation > 0.0:
        most = terms.participation * market.traded_value[t, i]
        if not size <= most:  # an unknown traded value lets nothing through
            size, cut = (most if most > 0.0 else 0.0), True
    if terms.whole_shares and not (wanted < 0.0 and size >= held):
        cut = cut or not market.price[t, i] > 0.0
        size = _whole(size, market.price[t, i])
    if coefficient > 0.0:
        rate = coefficient * market.volatility[t, i] * np.sqrt(size / market.traded_value[t, i])
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
def _fill_orders(t, j, market, charges, terms, account, n, log, n_taped, size, impact):  # type: ignore[no-untyped-def]
    """Sales, then purchases as far as cash reaches; what is left of an order stays open only if the terms carry it."""
    value, order, active, cash, price = account.value, account.order, account.active, account.cash, market.price
    buy_rate, sell_rate, per_sale, coefficient = charges.buy[t], charges.sell[t], charges.per_sale[t], charges.impact
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
        if not market.open_to[t, i] & (1 if wanted > 0.0 else 2):
            done, cut = 0.0, True
        elif not plain:
            done, rate, cut = _possible(t, i, wanted, value[i], terms, coefficient, market)
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
            n_taped = _write(log, n_taped, i, account.decided[i], signed, cost)
        left = 0.0
        if terms.carry:
            reached = done if sale_is_open else asked
            left = _left(t, i, wanted, reached, value[i], terms.whole_shares, equity, price)
        order[i] = left if wanted > 0.0 else -left
    before = cash[0]
    cash[0] = max(cash[0] + sold - bought - paid, 0.0) if scale == 1.0 or terms.whole_shares else 0.0
    series, counts = log.series, log.counts
    series[BOUGHT, j], series[SOLD, j], series[COST, j] = bought, sold, paid
    series[FLAT, j], series[IMPACT, j] = flat, slipped
    counts[FILLS, j], counts[UNFILLED, j] = n_fills, n_unfilled
    if equity > 0.0:
        series[TURNOVER, j] = 0.5 * (bought + sold + abs(cash[0] - before)) / equity
    return n_taped


@_inlined
def _distance(wanted, d, terms, account, n):  # type: ignore[no-untyped-def]
    """One-way distance between target weights, within the limits, and what is held, cash included; 0 for names kept."""
    value, names, weights, cash = account.value, wanted.names, wanted.amounts, account.cash[0]
    first, last, held_inr = wanted.start[d], wanted.start[d + 1], _total(value, account.active, n)
    equity = cash + held_inr
    kept, scale = _room(wanted, first, last, equity, terms.largest * equity, terms.smallest * equity, value, equity)
    total, invested = (held_inr - kept) / equity, kept / equity
    for j in range(first, last):
        if weights[j] == weights[j]:
            held, weight = value[names[j]] / equity, _cut(weights[j], terms.largest, terms.smallest) * scale
            total += abs(weight - held) - held
            invested += weight
    return 0.5 * (total + abs(1.0 - invested - cash / equity))


@_inlined
def _close(t, after, account, n, log, n_held):  # type: ignore[no-untyped-def]
    """Earn the rest of the session, write down what is held, forget the names with neither a value nor an order.

    Returns how many names are left, how many rows are written, and what the holdings are worth.
    """
    value, order, active = account.value, account.order, account.active
    left, total, drifts = 0, 0.0, after.size > 0
    for k in range(n):
        i = active[k]
        if drifts:
            r = after[t, i]
            if r == r:
                value[i] *= 1.0 + r
                order[i] *= 1.0 + r
        worth = value[i]
        stays = worth > 0.0 or order[i] != 0.0
        at = np.uint64(n_held)
        log.held[0, at], log.held_inr[0, at] = i, worth  # the next one overwrites what does not count
        n_held += worth > 0.0
        total += worth if stays else 0.0
        active[np.uint64(left)], account.listed[i] = i, stays
        left += stays
    return left, n_held, total


@numba.njit(cache=True, nogil=True, **UNCOUNTED, **_FROM_HERE)
def run_sessions(t, last, first, market, charges, terms, wanted, account, log, size, impact):  # type: ignore[no-untyped-def]
    """Sessions t..last as far as the log has room, whose rows count from `first`; the session that is next."""
    rows, falls_due, acted, cash, n = wanted.rows, wanted.due, wanted.acted, account.cash, account.n_active[0]
    n_held, n_taped = log.held_start[t - first], log.tape_start[t - first]
    due, judged = np.searchsorted(falls_due, t), np.searchsorted(rows, t - 1)
    while t < last:
        j = t - first
        if judged < rows.size and rows[judged] == t - 1:  # the account is still as it was at the close of the decision
            if terms.threshold > 0.0:
                acted[judged] = _distance(wanted, judged, terms, account, n) > terms.threshold
            judged += 1
        d, n_wanted = -1, 0
        while due < rows.size and falls_due[due] == t:
            if acted[due]:
                d, n_wanted = due, wanted.start[due + 1] - wanted.start[due]
            due += 1
        n_delisted = market.delisted_start[t + 1] - market.delisted_start[t]
        most = n + n_wanted + n_delisted  # names at the close
        if n_held + most > log.held.shape[1] or n_taped + n + 2 * n_delisted + most > log.tape.shape[1]:
            break
        if t > terms.opening:
            log.series[INTEREST, j] = cash[0] * market.cash_return[t]
            cash[0] += log.series[INTEREST, j]
        if market.dividend.size:
            n_taped = _pay_dividends(t, j, market.dividend, account, n, log, n_taped)
        if n_delisted:
            n, n_taped = _delist(t, j, market, terms.haircut, account, n, log, n_taped)
        held_inr = _drift(t, market.before, account, n)
        if d >= 0:
            n = _place_orders(wanted, d, terms, cash[0] + held_inr, account, n)
        n_taped = _fill_orders(t, j, market, charges, terms, account, n, log, n_taped, size, impact)
        n, n_held, held_inr = _close(t, market.after, account, n, log, n_held)
        log.tape_start[j + 1], log.held_start[j + 1] = n_taped, n_held
        log.series[EQUITY, j], log.series[CASH, j] = cash[0] + held_inr, cash[0]
        log.series[COST, j] += log.series[HAIRCUT, j]
        t += 1
    account.n_active[0] = n
    return t


@numba.njit(cache=True, **_FROM_HERE)
def _longer(table, n, more):  # type: ignore[no-untyped-def]
    """A copy of the (rows, capacity) table with room for `more` columns behind the first n, and as many again."""
    longer = np.empty((table.shape[0], 2 * (n + more)), table.dtype)
    for row in range(table.shape[0]):  # a copy of a slice would take as long to compile as the rest
        for k in range(n):
            longer[row, k] = table[row, k]
    return longer


@numba.njit(cache=True, nogil=True, error_model="numpy", **_NOT_FROM_C)
def advance(first, last, market, charges, terms, wanted, account):  # type: ignore[no-untyped-def]
    """Take the account through the sessions first..last (excluded) and tell what happened.

    Decisions that fell due before `first` are over; of several that fall due together the last one counts. Taking the
    sessions in several calls, with one account and one `wanted`, is the same as taking them in one.
    """
    sessions, names, n = last - first, account.value.size, account.n_active[0]
    size, impact = np.empty(names), np.empty(names)
    series, counts = np.zeros((N_SERIES, sessions)), np.zeros((2, sessions), np.int32)
    held_start, tape_start = np.zeros(sessions + 1, np.int64), np.zeros(sessions + 1, np.int64)
    # Room for what a plain run needs; a log that outgrows it is copied.
    room = 64 + n + sessions * wanted.names.size // max(wanted.rows.size, 1)
    held, held_inr = np.empty((1, room), np.int32), np.empty((1, room))
    room = 64 + 2 * (n + wanted.names.size)
    tape, tape_inr = np.empty((2, room), np.int32), np.empty((2, room))
    log = Log(series, counts, held_start, held, held_inr, tape_start, tape, tape_inr)
    t = run_sessions(first, last, first, market, charges, terms, wanted, account, log, size, impact)
    while t < last:
        n_held, n_taped, more = held_start[t - first], tape_start[t - first], 3 * (names + market.delisted_name.size)
        held, held_inr = _longer(held, n_held, more), _longer(held_inr, n_held, more)
        tape, tape_inr = _longer(tape, n_taped, more), _longer(tape_inr, n_taped, more)
        log = Log(series, counts, held_start, held, held_inr, tape_start, tape, tape_inr)
        t = run_sessions(t, last, first, market, charges, terms, wanted, account, log, size, impact)
    n_held, n_taped = held_start[-1], tape_start[-1]
    return Log(
        series, counts, held_start, held[0, :n_held], held_inr[0, :n_held], tape_start, tape[:, :n_taped],
        tape_inr[:, :n_taped],
    )  # fmt: skip
