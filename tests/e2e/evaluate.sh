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

# A learning rate that falls in steps: 10 steps an epoch, so 0.01, 0.005, 0.0025 at the end of each.
ends 0 'done' "a step schedule" ./tokens train --data data --out steps --epochs 3 --lr 0.01 --set train.schedule.kind=step \
    --set train.schedule.every=1epochs --set train.schedule.factor=0.5 --set train.schedule.warmup=0steps
holds "the learning rates" test "$(cut -d , -f 3 steps/metrics.csv | tail -3 | tr '\n' ' ')" = "0.01 0.005 0.0025 "
ends 2 'cosine, step or constant' "an unknown schedule" ./tokens train --data data --out none --set train.schedule.kind=stairs

# A dry run: everything once, told in numbers, nothing kept.
mkdir temporary
dry() { TMPDIR=$work/temporary ./tokens train --data data --dry-run --threads 2 "$@"; }
ends 0 '^dry run: a step takes [0-9.]* s .[0-9]* img/s., an epoch .*, 4 epochs .*; memory [0-9]* MiB; nothing was kept' "a dry run" dry
ends 0 '^{"step_seconds":0.[0-9]*,"images_per_s":[0-9.]*,"epoch_seconds":[0-9.]*,"train_seconds":[0-9.]*,"save_seconds":[0-9.]*,"memory_bytes":[0-9]*}$' \
    "as JSON" dry --json
holds "nothing is left of it" test -z "$(ls temporary)"
holds "nor a run folder" test ! -e runs
ends 1 'nowhere' "what is wrong is found" dry --data nowhere
holds "and nothing is left of that either" test -z "$(ls temporary)"
ends 2 'leave out --resume' "it does not resume" dry --resume
finish
