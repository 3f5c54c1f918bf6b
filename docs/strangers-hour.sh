#!/usr/bin/env bash
# A stranger's hour: from a clone to own data, an own profile, feature and strategy, the schedule on and a report to share.
#
#   bash docs/strangers-hour.sh PRICES [SHARE]
#
# PRICES  folder of daily price files, any of those in docs/market-data.md
# SHARE   folder that the report and the notebooks' pages are put into (default: share)
#
# Read it and type it line by line, or let it run: each step says what it does. It can be repeated.
# Settings: FROM and TO (months), FIRST_FOLD (a year), TRAIN_YEARS, PORT. A test follows it.
set -euo pipefail
PRICES=$(cd "${1:?give the folder of your daily price files}" && pwd)
SHARE=${2:-share}
FROM=${FROM:-2015-01} FIRST_FOLD=${FIRST_FOLD:-2020} TRAIN_YEARS=${TRAIN_YEARS:-3} PORT=${PORT:-3000}
END=${TO:+"end: '$TO'"}

say() { printf '\n== %s\n' "$*"; }

say "1. Install: everything goes into .venv"
if [ -z "${QUANT:-}" ]; then
    make install
    QUANT=.venv/bin/quant
fi
PYTHON=${PYTHON:-.venv/bin/python}

say "2. Own data: what is understood in the files, and every problem with its line"
$QUANT inspect "$PRICES"

say "3. Own profile: one file says which data, from when, and what is run on it"
cat > quant_assets/presets/mine.yaml <<YAML
description: My own files.
universe: all
source: {name: files, path: "$PRICES"}
start: "$FROM"
$END
first_fold: $FIRST_FOLD
train_years: $TRAIN_YEARS
models: [ridge]
strategies: [equal_weight, momentum, top_n, calm_rise]
regimes: []
agents: []
presets:
  features:
    {names: [log_returns, realized_volatility, momentum, up_days], windows: [1, 5, 21, 63], zscore_lookback: 63,
     min_history_sessions: 126}
  target_weights: {top_n: 3, rebalance: monthly}
  backtest: {cost_model: nse_delivery, commission_bps: 0, spread_bps: 0, impact_coefficient: 1.0}
YAML

say "4. Own feature: the share of rising sessions (docs/adding-a-feature.md)"
cat > quant_core/features/up_days.py <<'PYTHON'
"""How often a stock rises."""

import numpy as np

from quant_core.features import feature


@feature("up_days", columns=("up_day_share_{w}d",), shortest_window=5)
def up_days(panel, windows):
    """Share of the window's sessions on which the ticker rose.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, today included.
    Returns:
        one column `up_day_share_{w}d` a window: 0 to 1; null where the window is not full.
    """
    from quant_core.features import kernels

    up = np.where(np.isnan(panel.log_return_1d), np.nan, panel.log_return_1d > 0)
    return {f"up_day_share_{w}d": kernels.window_mean(up, w, panel.first_session, panel.full(w)) for w in windows}
PYTHON

say "5. Own strategy: what rose most for the risk it took (docs/adding-a-strategy.md)"
cat > quant_core/allocation/strategies/calm_rise.py <<'PYTHON'
"""Hold what rose calmly."""

import numpy as np

from quant_core.allocation.strategy import STRATEGIES, hold_best


@STRATEGIES.register("calm_rise")
def calm_rise(inputs):
    """Equal weights in the top_n tradable members of the highest mean over standard deviation of 63 returns."""

    def score(past):
        returns = np.nan_to_num(past.total_return_1d)
        return returns.mean(axis=0) / np.maximum(returns.std(axis=0), 1e-9)

    return hold_best(inputs, 63, score)
PYTHON

say "6. Is all of it known, and is the machine ready?"
$QUANT list features | grep up_days
$QUANT list strategies | grep calm_rise
$QUANT doctor --profile mine

say "7. Run: from the files to the report; what is current is not made again"
$QUANT run --profile mine

say "8. A report to share: self-contained pages"
mkdir -p "$SHARE"
cp "$($QUANT report --profile mine)" "$SHARE/report.html"
QUANT_PROFILE=mine $PYTHON notebooks/pages.py 01 05 --to "$SHARE"

say "9. The schedule: 18:30 IST on every session, for as long as the server runs"
LOG=$(mktemp)
$QUANT dev --profile mine --port "$PORT" --automate >"$LOG" 2>&1 &
SERVER=$!
trap 'kill -TERM $SERVER 2>/dev/null; wait $SERVER || true; rm -f "$LOG"' EXIT
until grep "switched on" "$LOG"; do
    kill -0 $SERVER || { cat "$LOG"; exit 1; }
    sleep 1
done
echo "open http://127.0.0.1:$PORT; Ctrl-C stops it, and the next \`quant dev --profile mine\` has the schedule on"
[ -n "${AND_STOP:-}" ] || wait $SERVER
