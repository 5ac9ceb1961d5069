#!/bin/sh
# What experts got: the tables of `eval` and analysis.json of a training against each other, and against sums over pictures that are
# evaluated one by one.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_maps.vmoe" ./maps
"$make_data" tree data 20 160 40 4
holds "a training" ./maps train --data data --out run --epochs 2 --threads 2
eval_with() { ./maps eval --weights run/last.safetensors "$@"; }
ends 0 '"images":40' "tables" eval_with --data data --json --threads 2 --experts experts.csv --similarity similarity.csv \
    --per-class classes.csv --confusion pairs.csv

# Layer s1[2] has 8 x 8 tokens with one choice, s2[1] has 4 x 4 with two; nothing is dropped in evaluation.
cat >sums.awk <<'END_AWK'
NR > 1 { choices[$1 " " $3] += $5; images[$1 " " $3] = $4; rows++ }
END {
    for (k in choices)
        if (images[k] != 10 || choices[k] != images[k] * (k ~ /^s1/ ? 64 : 32)) exit 1
    exit rows != (4 + 3) * 4
}
END_AWK
holds "each class: pictures x tokens x choices" awk -F , -f sums.awk experts.csv

# The same from analysis.json: a line `layer,expert,class,choices` for each number of its matrices.
matrix() {
    sed -n 's/^{"layer":"\([^"]*\)".*"classes":\[\[\(.*\)\]\]}.*/\1 \2/p' "$1" | sed 's/\],\[/ /g' |
        awk '{ for (c = 2; c <= NF; c++) {
            n = split($c, v, ",")
            for (e = 1; e <= n; e++) print $1 "," e - 1 ",class0" c - 2 "," v[e]
        } }'
}
matrix run/analysis.json | sort >from_json
awk -F , 'NR > 1 { print $1 "," $2 "," $3 "," $5 }' experts.csv | sort >from_csv
holds "analysis.json has 28 counts" test "$(wc -l <from_json)" = 28
holds "they are those of eval --experts" cmp from_json from_csv
sed -n 's/^{"name":"\([^"]*\)","images":\([0-9]*\),"top1":\([0-9]*\),"top5":\([0-9]*\)}.*/\1,\2,\3,\4/p' run/analysis.json \
    >from_json
sed 1d classes.csv | cut -d , -f 1-4 >from_csv
holds "classes are those of eval --per-class" cmp from_json from_csv
sed -n '/^"confused"/s/{/\n/gp' run/analysis.json |
    sed -n 's/"true":\([0-9]*\),"predicted":\([0-9]*\),"count":\([0-9]*\).*/class0\1,class0\2,\3/p' >from_json
awk -F , 'NR > 1 && $1 != $2' pairs.csv >from_csv
holds "there are confusions" test -s from_csv
holds "they are those of eval --confusion" cmp from_json from_csv
rounded() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$1" | awk '{ printf "%.6f\n", $1 }'; }
holds "the calibration error is that of eval" test "$(rounded run/analysis.json error)" = "$(rounded out calibration_error)"
in_bins() { sed -n '/^"calibration"/s/{"images":/\n/gp' "$1" | awk -F , 'NR > 1 { n += $1 } END { print n }'; }
holds "its bins hold each picture" test "$(in_bins run/analysis.json)" = 40
# Loads are shares of the choices: at s1[2] of 40 x 64.
loads() { sed -n "s/^{\"layer\":\"$2\",\"load\":\[\([^]]*\)\].*/\1/p" "$1"; }
awk -F , 'NR > 1 && $1 == "s1[2].mlp" { n[$2] += $5 }
    END { for (e = 0; e < 4; e++) printf "%s%.6g", e ? "," : "", n[e] / 2560; print "" }' experts.csv >wanted
loads run/analysis.json 's1.2..mlp' >got
holds "the loads are shares of the counts" cmp wanted got
# The entropy of four experts is below ln 4; so freshly trained it is near.
holds "the entropy is below ln 4 and ln 3" awk 'BEGIN { n = split(ARGV[1], v, " "); ARGC = 1
    exit !(n == 2 && v[1] > 1 && v[1] < 1.386295 && v[2] > 0.8 && v[2] < 1.098613) }' \
    "$(sed -n 's/^{"layer".*"entropy":\([0-9.]*\),.*/\1/p' run/analysis.json | tr '\n' ' ')"
first='{"layer":"s1\[2\].mlp","load":\[[0-9.,e-]*\],"dropped":[0-9.e-]*,"entropy":1[.0-9]*}'
holds "the epoch's line has both layers" grep -q '"eval".*"moe":\['"$first"',{"layer":"s2\[1\].mlp".*}\]}$' run/metrics.jsonl
./maps train --data data --out again --epochs 2 --threads 1 --json >again.out
holds "the threads change nothing" cmp run/analysis.json again/analysis.json
holds "train --json prints that line" test "$(tail -1 again.out)" = "$(tail -1 again/metrics.jsonl)"

# The pictures one by one: their counts add up, and give the similarities of the paper: sum of 2 min(c_i, c_j) / sum of c_i + c_j.
: >each.csv
for file in data/test/class0?/*; do
    class=$(basename "$(dirname "$file")")
    rm -rf one
    mkdir -p "one/test/$class"
    cp "$file" "one/test/$class"
    eval_with --data one --threads 1 --experts one.csv >one.out 2>one.err || cat one.err
    awk -F , -v class="$class" -v file="$file" 'NR > 1 && $3 == class { print file "," $1 "," $2 "," $3 "," $5 }' one.csv >>each.csv
done
holds "40 pictures, 7 experts" test "$(wc -l <each.csv)" = 280
awk -F , '{ n[$2 "," $3 "," $4] += $5 } END { for (k in n) print k "," n[k] }' each.csv | sort >from_each
awk -F , 'NR > 1 { print $1 "," $2 "," $3 "," $5 }' experts.csv | sort >from_csv
holds "their counts add up" cmp from_each from_csv
cat >similar.awk <<'END_AWK'
FNR == NR { c[$1, $2, $3] = $5; files[$1]; next }
FNR > 1 {
    both = all = 0
    for (f in files) {
        i = c[f, $1, $2]; j = c[f, $1, $3]
        both += 2 * (i < j ? i : j)
        all += i + j
    }
    rows++
    if ($2 == $3 && $4 != 1) wrong++
    if (all == 0 ? $4 != "" : (d = $4 - both / all) > 1e-8 || d < -1e-8) wrong++
    s[$1, $2, $3] = $4
}
END {
    for (k in s) { split(k, p, SUBSEP); if (s[p[1], p[3], p[2]] != s[k]) wrong++ }
    exit wrong > 0 || rows != 16 + 9
}
END_AWK
holds "and give the similarities" awk -F , -f similar.awk each.csv similarity.csv

ends 1 'nowhere/x.csv' "a table that cannot be written" eval_with --data data --experts nowhere/x.csv
ends 2 'table of --experts is of one set' "nor one of two sets" eval_with --experts x.csv data data
ends 2 'is fixed in this program' "train has no such flag" ./maps train --data data --experts 8
sed '/^  moe /,/^  }/d' "$here/tiny_maps.vmoe" >dense.vmoe
holds "the same without experts" "$vmoec" build dense.vmoe -o dense
holds "trains" ./dense train --data data --out plain --epochs 1
holds "has an analysis" grep -q '^"moe":\[\]}$' plain/analysis.json
ends 2 'has no experts; leave out --similarity' "but no tables of them" \
    ./dense eval --data data --weights plain/last.safetensors --similarity x.csv
finish
