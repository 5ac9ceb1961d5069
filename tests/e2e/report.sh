#!/bin/sh
# The page of a run, while it trains, when it was stopped and when it has ended: well-formed, and nothing in it that a browser
# would load.
. "$top_srcdir/tests/e2e/common.sh"

check_page=$tools/check_page
program "$here/tiny_maps.vmoe" ./maps
"$make_data" idx gray 16 512 128 4
state() { sed -n 's/.*class="state \([a-z]*\)">.*/\1/p' "$1/report.html"; }
says() { grep -qF -e "$2" "$1/report.html"; }

ends 0 '^note: gray has no validation set, so its `t10k` stands in' "trains, and says on what it is evaluated" \
    ./maps train --data gray --out run --epochs 2 --threads 2 --set data.val=val
holds "and recorded" grep -q '"stand_in": "t10k"' run/run.json
holds "there is a page, well-formed, that loads nothing" "$check_page" run/report.html
holds "it has ended" test "$(state run)" = finished
holds "its epochs" says run 'epoch 2 of 2 · step 32'
top1=$(sed -n 's/.*"eval".*"top1":\([0-9]*\).*/\1/p' run/metrics.jsonl | sort -n | tail -1)
holds "its best top-1" says run "$top1 of 128<br/>"
holds "its size" says run '>21.5 k<'
holds "its layers" says run '<th scope="row">s2.enter</th>'
holds "both layers of experts" test "$(grep -c '<article class="layer">' run/report.html)" = 2
holds "the load of each of their experts" test "$(grep -o '<path class="area c[0-3]"' run/report.html | wc -l)" -ge 7
holds "each class" says run '<th scope="row">3</th><td>32</td>'
holds "nothing is missing" test -z "$(grep -o 'is missing[^<]*' run/report.html)"
holds "its spec" says run 'model tiny_maps {'

# Hostile names in an analysis.
cp -r run shown
cat >shown/analysis.json <<'END'
{"epoch":2,"step":32,"images":128,"top1":64,"top5":128,"loss":1,
"calibration":{"error":0.1,"bins":[{"images":128,"confidence":70,"hits":64}]},
"classes":[{"name":"</td><script>alert(1)</script>","images":64,"top1":20,"top5":64},
{"name":"b & \"c\"","images":64,"top1":44,"top5":64}],
"confused":[{"true":0,"predicted":1,"count":44}],
"moe":[{"layer":"s1[2].mlp","load":[0.5,0.5],"dropped":0,"entropy":0.5,"classes":[[10,0],[0,10]]},
{"layer":"s2[1].mlp","load":[0.5,0.5],"dropped":0,"entropy":0.5,"classes":[[10,0],[5,5]]}]}
END
ends 0 shown/report.html "a page of it" ./maps report --out shown
holds "is well-formed" "$check_page" shown/report.html
holds "a name is text" says shown '&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;'
holds "classes and experts" test "$(grep -o '<h3>s[12].[12]..mlp\|<table class="cells">' shown/report.html | wc -l)" = 4

# The event file: a function of the metrics, however it came about.
events() { ls "$1"/events.out.tfevents.*; }
anew() { cp "$1" before && rm "$1" && ./maps report --out run >/dev/null && cmp before "$1"; }
holds "there is an event file" test -s "$(events run)"
holds "made anew it is the same" anew "$(events run)"

# Again from the files, all of them or some.
ends 0 '^run/report.html$' "the command tells the path" ./maps report --out run
ends 0 '^{"report":"run/report.html"}$' "as JSON" ./maps report --out run --json
cp -r run some && rm some/run.json some/spec.vmoe
ends 0 some/report.html "without some files" ./maps report --out some
holds "it says what is missing" says some 'run.json is missing'
holds "and is well-formed" "$check_page" some/report.html
ends 1 'nowhere is no folder' "no folder" ./maps report --out nowhere
mkdir empty
ends 1 'empty holds no run' "no run" ./maps report --out empty

# What is evaluated, and what a loss is.
holds "its data" says run '(512 pictures of 4 classes), evaluate on “t10k”, which stands in for a validation set (128 pictures)'
holds "one plot of both losses" says run '>Loss<'
ends 0 done: "by heart" ./maps train --data gray --out heart --overfit 16 --epochs 1 --threads 1
holds "says so" says heart '(512 pictures of 4 classes, 16 of them taken), evaluate on the same (16 pictures)'
cp -r run binary
sed -i 's/loss = cross_entropy/loss = binary_cross_entropy/' binary/spec.vmoe
ends 0 report.html "with another loss than evaluations have" ./maps report --out binary
holds "each has its plot" sh -c "grep -qF 'Training loss, binary cross-entropy' binary/report.html && grep -qF 'Validation loss, cross-entropy' binary/report.html"
holds "the page is well-formed" "$check_page" binary/report.html

# Hostile names in the command line and of folders.
mkdir "a<b>&'\"c"
ends 0 done: "names of any kind" ./maps train --data gray --out "a<b>&'\"c/r" --epochs 1 --limit 64
holds "are text, not tags" "$check_page" "a<b>&'\"c/r/report.html"

# While it runs, stopped, and resumed.
./maps train --data gray --out long --epochs 200 --threads 1 >long.out 2>&1 &
pid=$!
tries=0
while [ ! -e long/report.html ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
holds "after an epoch it says that it runs" test "$(state long)" = running
ends 0 report.html "the command beside it" ./maps report --out long
holds "it still runs" test "$(state long)" = running
kill -TERM $pid
wait $pid
holds "stopped by a signal" test $? = 143
holds "the page says so" test "$(state long)" = stopped
at=$(sed -n 's/.*{"step":\([0-9]*\).*/\1/p' long/metrics.jsonl | tail -1)
holds "up to the last step" says long "step $(echo "$at" | sed 's/\([0-9]\)\([0-9][0-9][0-9]\)$/\1,\2/')"
cp "$(events long)" before
./maps train --data gray --out long --resume --threads 1 >/dev/null 2>&1 &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
holds "going on appends to the event file" cmp -n "$(wc -c <before)" before "$(events long)"
finish
