#!/bin/sh
# Evaluation: each picture once, whatever the batch and the threads, and tables that agree with the counts.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" tree data 20 320 1003 4
./tokens train --data data --out run --epochs 2 --threads 2 >/dev/null
ends 0 '^{"images":1003,"top1":[0-9]*,"top5":1003,"loss":[0-9.]*,"top1_low":0.[0-9]*,"top1_high":0.[0-9]*,"calibration_error":0.[0-9]*}$' \
    "1003 pictures, 32 a call: each once" ./tokens eval --data data --weights run/last.safetensors --json --threads 2 --per-class classes.csv \
    --confusion pairs.csv
cp out two
top1=$(sed 's/.*"top1":\([0-9]*\).*/\1/' two)
holds "the epoch's line has the same count" test "$top1" = "$(field run/metrics.jsonl top1)"
ends 0 '"images":1003' "on one thread" ./tokens eval --data data --weights run/last.safetensors --json --threads 1
holds "the same result" cmp two out
column() { awk -F , -v c="$2" 'NR > 1 { n += $c } END { print n }' "$1"; }
holds "classes: four lines" test "$(wc -l <classes.csv)" = 5
holds "classes: each picture once" test "$(column classes.csv 2)" = 1003
holds "classes: the hits" test "$(column classes.csv 3)" = "$top1"
holds "classes: each prediction once" test "$(column classes.csv 5)" = 1003
holds "confusion: each picture once" test "$(column pairs.csv 3)" = 1003
holds "confusion: the hits" test "$(awk -F , '$1 == $2 { n += $3 } END { print n }' pairs.csv)" = "$top1"
./tokens predict --data data --split test --weights run/last.safetensors --top 1 >rows
holds "predict agrees" test "$(sed 's/.*: \([^ ]*\) [0-9.]*  (is \(.*\))$/\1 \2/' rows | awk '$1 == $2 { n++ } END { print n }')" = "$top1"
ends 1 'nowhere/x.csv' "a table that cannot be written" ./tokens eval --data data --weights run/last.safetensors --per-class nowhere/x.csv
ends 0 '95 % interval [0-9.]* .. [0-9.]*.,' "the interval in text" ./tokens eval --data data --weights run/last.safetensors --limit 100
finish
