#!/bin/sh
# The manual's limits are those that hold: each is met, passed by one, and told; what has none is long.
vmoec=$top_builddir/vmoec
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
n=0
report() {      # status NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        head -c 600 said | sed 's/^/# /'
    fi
}
takes() {       # NAME FILE
    "$vmoec" check "$2" >said 2>&1
    report $? "$1"
}
refuses() {     # CODE PATTERN NAME FILE
    "$vmoec" check "$4" >said 2>&1
    test $? = 1 && grep -q "^error\[$1\].*$2" said && ! grep -q 'itself' said
    report $? "$3"
}
# A model of this many blocks, with more lines in it and more before it.
model() {       # DEPTH LINES BEFORE
    cat <<END
vmoe 1
$3
model m {
  input = image(8px)
  classes = 4
  dim = 4
  stem { patch = conv(4px, stride: 4px, out: dim) }
  stage s1 { depth = $1; block = identity }
  head { mean_pool; fc = linear(out: classes) }
$2
}
END
}
repeat() {       # COUNT TEXT [BETWEEN]; %d counts
    awk -v n="$1" -v text="$2" -v between="$3" 'BEGIN { for (i = 1; i <= n; i++) printf "%s" text, (i > 1 ? between : ""), i, i + 1 }'
}

size() {
    model 1 >"$2"
    printf '%*s' $(($1 - $(wc -c <"$2"))) '' | tr ' ' '#' >>"$2"
}
size 1048576 most.vmoe
size 1048577 more.vmoe
takes "1 MiB" most.vmoe
refuses V0701 'large' "1 MiB and a byte" more.vmoe
{ printf '\357\273\277'; cat most.vmoe; } >marked.vmoe
takes "a byte-order mark does not count" marked.vmoe

files() {
    for i in $(seq "$1"); do
        echo "vmoe 1" >"part$i.vmoe"
    done
    model 1 "" "$(repeat "$1" 'use "./part%d.vmoe" as p%d
')"
}
files 63 >most.vmoe
files 64 >more.vmoe
takes "64 files" most.vmoe
refuses V0604 '64 files' "65 files" more.vmoe

brackets() { model 1 "check $(repeat "$1" '(')1$(repeat "$1" ')') == 1"; }
brackets 99 >most.vmoe
brackets 100 >more.vmoe
takes "100 open brackets" most.vmoe
refuses V0007 '100 brackets' "101 open brackets" more.vmoe

levels() { model 1 "check $(repeat "$1" 1 ' + ') > 0"; }      # the comparison is a level, a number is one
levels 199 >most.vmoe
levels 200 >more.vmoe
takes "200 levels of an expression" most.vmoe
refuses V0007 '200 levels' "201 levels of an expression" more.vmoe

words() { model 1 "" "use std.layers
block b { x = $(repeat "$1" a .) }"; }
words 16 >most.vmoe
words 17 >more.vmoe
takes "16 words of a name" most.vmoe
refuses V0007 '16 parts' "17 words of a name" more.vmoe

stages() { model 1 "$(repeat "$1" 'stage t%d { depth = 1; block = identity }
')"; }
stages 63 >most.vmoe
stages 64 >more.vmoe
takes "64 stages" most.vmoe
refuses V0604 '64 stages' "65 stages" more.vmoe

model 9999 'stage s2 { depth = 1; block = identity }' >most.vmoe
model 9999 'stage s2 { depth = 2; block = identity }' >more.vmoe
takes "10 000 blocks" most.vmoe
refuses V0604 '10000 blocks' "10 001 blocks" more.vmoe

# Besides these: the lists of stem, block and head, and four layers in them.
layers() {      # COUNT LAYER
    model 1 | sed '/stem/,$d'
    echo '  stem { patch = conv(4px, stride: 4px, out: dim)'
    repeat "$1" "$2
"
    echo '  }'
    model 1 | sed '1,/stem/d'
}
layers $((100000 - 7)) identity >most.vmoe
layers $((100000 - 6)) identity >more.vmoe
takes "100 000 layers" most.vmoe
refuses V0604 '100000 layers' "100 001 layers" more.vmoe

layers 3997 relu >most.vmoe
layers 3998 relu >more.vmoe
takes "4000 operations" most.vmoe
refuses V0604 '4000 operations' "4001 operations" more.vmoe

list() { model 1 "check 1 in [$(repeat "$1" 1 ,)]"; }
list 1024 >most.vmoe
list 1025 >more.vmoe
takes "1024 elements of a list" most.vmoe
refuses V0604 '1024 elements' "1025 elements of a list" more.vmoe
placed() { model 2 "moe { at = blocks([$(repeat "$1" 1 ,)]); experts = 2; block = b }" "block b { slot x = linear }"; }
placed 1024 >most.vmoe
placed 1025 >more.vmoe
takes "1024 elements of a list of blocks" most.vmoe
refuses V0604 '1024 elements' "1025 elements of a list of blocks" more.vmoe

calls() { model 1 "stage s2 { depth = 1; block = b1 }" "$(repeat "$1" 'block b%d { b%d }
')
block b$(($1 + 1)) { identity }"; }
calls 63 >most.vmoe
calls 64 >more.vmoe
takes "64 blocks within blocks" most.vmoe
refuses V0007 '64 levels' "65 blocks within blocks" more.vmoe

rules() { model 1 "$(repeat "$1" 'moe r%d { at = none; experts = 2 }
')"; }
rules 509 >most.vmoe
rules 510 >more.vmoe
takes "512 bodies in one" most.vmoe
refuses V0604 '512 bodies' "513 bodies in one" more.vmoe

values() { model 1 "" "$(repeat "$1" 'param p%d : int = $p%d
')
param p$(($1 + 1)) : int = 1"; }
values 599 >most.vmoe
values 600 >more.vmoe
takes "600 values that depend on each other" most.vmoe
refuses V0007 '600 steps' "601 values" more.vmoe

chains() { model 1 "moe { at = a1; experts = 2 }" "$(repeat "$1" 'placement a%d = a%d
')
placement a$(($1 + 1)) = none"; }
chains 298 >most.vmoe
chains 299 >more.vmoe
takes "300 placements that depend on each other" most.vmoe
refuses V0007 '300 steps' "301 placements" more.vmoe

seq 25 | sed 's/^/wrong/; s/$/ = 1/' >errors
model 1 "$(cat errors)" >more.vmoe
"$vmoec" check more.vmoe >said 2>&1
test "$(grep -c '^error' said)" = 20 && grep -q 'stopped after 20 errors' said
report $? "20 errors a run"

# Without a limit of their own.
chain() { model 1 | sed 's/^model m/model m0/'; repeat "$1" 'model m%d amends m# { check true }
' | awk '{ sub("#", NR - 1); print }'; echo "experiment main { model = m$1 }"; }
chain 3000 >most.vmoe
takes "3000 models that amend one another" most.vmoe
{ echo "vmoe 1"; repeat 200 'model m%d amends m%d { }
'; echo "model m201 amends m1 { }"; } >circle.vmoe
"$vmoec" check circle.vmoe --model m1 >said 2>&1
grep -q '^error\[V0213\]: `m1` amends itself' said && grep -q '`m201` amends `m1` here' said
report $? "a circle of 201 is one"

many() {
    model 1 "stage s2 { depth = 1; block = wide }
$(seq "$1" | sed 's/.*/moe r& { at = s2[1]; slot = x&; experts = 2 }/')" "block wide {
$(seq "$1" | sed 's/.*/slot x& = linear/')
}"
}
many 40 >many.vmoe
"$vmoec" info many.vmoe >said 2>&1
test "$(grep -c '^  s2\[1\].x[0-9]*: 2 experts' said)" = 40
report $? "40 rules in one block"

echo "1..$n"
