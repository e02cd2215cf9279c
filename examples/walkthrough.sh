#!/usr/bin/env bash
# From nothing to a report in a few minutes: a small study of four placements of the norm.
# For the published experiment itself: grok sweep ln-positions && grok report runs/ln-positions
set -euo pipefail
cd "$(mktemp -d)"

grok studies copy ln-positions small.yaml # a study of one's own, started from a shipped one
grok sweep small.yaml --seeds 2 --modulus 23 --d-model 32 --steps "${STEPS:-600}" --lr 3e-3 \
  --set data.test_ratio=0.3 --set measure.diagnostics='{rank: 100}'

grok runs runs/small
grok plot accuracy runs/small --terminal
grok plot generalisation runs/small -o generalisation.pdf --style paper
grok report runs/small --sweep small.yaml
grok export-csv runs/small --long --out tables # for examples/analysis.py

echo "everything is in $PWD"
