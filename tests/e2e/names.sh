#!/bin/sh
# Names of any kind: commands that can be pasted, terminals that are not acted upon, cells that no spreadsheet runs.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./net
"$make_data" tree data 20 64 24 4
esc=$(printf '\033')
bidi=$(printf '\342\200\256')

# Commands: what is printed, a shell reads as it was meant.
cp net "my net's"
folder="my run's \$1"
"./my net's" train --data data --epochs 100000 --threads 1 --out "$folder" >out 2>err &
pid=$!
for i in $(seq 100); do [ -s "$folder/metrics.csv" ] && break || sleep 0.1; done
sleep 0.3
kill -TERM $pid
wait $pid
words() { eval "set -- $1" && printf '%s|' "$@"; }
line=$(grep 'train --resume' err)
holds "the command that goes on" test "$(words "$line")" = "./my net's|train|--resume|--out|$folder|"
rm -r "$folder/state"
seq 5 >"$folder/metrics.csv"
ends 1 'no state' "a run without a state" ./net train --data data --out "$folder" --resume
line=$(sed -n 's/.*--weights \(.*\) --out ANOTHER/\1/p' err)
holds "the weights to begin with" test "$(words "$line")" = "$folder/last.safetensors|"
ends 2 "see './my net'.''s' train --help" "help that is named" "./my net's" train --nothing
ends 2 "see './my net'.''s' train --help" "for a short flag, too" "./my net's" train -x
cp "$here/tiny_tokens.vmoe" "my spec.vmoe"
mkdir "my folder"
ends 0 built "a program" env TMPDIR="$PWD/my folder" "$vmoec" build "my spec.vmoe" -o named -v
tail -2 err | head -1 >line
holds "the command that links" sh -c 'eval "set -- $(cat line)" && printf "%s\n" "$@" | grep -qx "$PWD/my folder/.*/program"'
cp "$here/tiny_maps.vmoe" "$(printf 'odd\377.vmoe')"
ends 0 built "a spec of a name that is no UTF-8" "$vmoec" build "$(printf 'odd\377.vmoe')" -o odd
ends 0 "^done" "is trained" ./odd train --data data --out odd_run --epochs 1
ends 2 "vmoec build 'my spec.vmoe' -D classes=VALUE" "how to rebuild" ./named train --classes 3
ends 2 "vmoec build 'my spec.vmoe' --set" "by a key" ./named train --set model.dim=3

# Control characters, overrides of direction, bytes that are no UTF-8.
odd="a${esc}[31mb"
mkdir "$odd"
mv data/train/class00 "data/train/$odd"
mv data/test/class00 "data/test/$odd"
mv data/train/class01 "data/train/x${bidi}gpj"
mv data/test/class01 "data/test/x${bidi}gpj"
mv data/train/class02 "data/train/$(printf 'caf\351')"
mv data/test/class02 "data/test/$(printf 'caf\351')"
ends 0 done "a training" ./net train --data data --epochs 1 --threads 2 --out run
w=run/best.safetensors
acts() { LC_ALL=C grep -q "$esc\|$bidi\|$(printf '\351')" "$1"; }
on_terminal() { script -qec "$* 2>/dev/null" /dev/null </dev/null | tr -d '\r' >tty; }
ends 0 'is class03' "names for a program" ./net predict --data data --weights $w --top 4
holds "are as they are" sh -c "grep -Fq '(is $odd)' out && grep -Fq 'test/x${bidi}gpj/' out"
on_terminal ./net predict --data data --weights $w --top 4
holds "a terminal is shown them" grep -Fq '(is a\x1b[31mb)' tty
holds "and directions" grep -Fq 'test/x\u202egpj/' tty
holds "and bytes" grep -Fq 'test/caf' tty
holds "and is not acted upon" sh -c "! LC_ALL=C grep -q '$esc\|$bidi' tty"
on_terminal ./net check-data --data data
holds "nor by check-data" sh -c "grep -Fq 'a\\x1b[31mb' tty && ! LC_ALL=C grep -q '$esc\|$bidi' tty"
mv data "$odd/data"
on_terminal ./net eval --weights $w "'$odd/data'"
holds "nor by eval" sh -c "grep -Fq 'folder a\\x1b[31mb/data' tty && ! LC_ALL=C grep -q '$esc\|$bidi' tty"
mv "$odd/data" data
ends 0 top-1 "eval for a program" ./net eval --weights $w "$odd=data"
holds "has the name" grep -Fq "$odd: top-1" out
holds "and its note does not act" sh -c "grep -Fq 'note: a\\x1b[31mb: folder data' err && ! grep -q '$esc' err"
ends 1 'w.x1b' "errors are shown wherever they go" ./net eval --data data --weights "w$esc$bidi"
holds "all of them" sh -c "grep -Fq 'w\\x1b\\u202e' err && ! LC_ALL=C grep -q '$esc\|$bidi' err"
ends 2 'no command' "so is a word of the command line" ./net "x${esc}y"
holds "whole" sh -c "grep -Fq 'x\\x1by' err && ! grep -q '$esc' err"
ends 1 'a.x0ab' "a newline of a name" ./net eval --data data --weights "a
b"
holds "is none of ours" test "$(wc -l <err)" = 1
echo no picture >"data/train/class03/bad${esc}.jpg"
ends 0 done "a picture that cannot be read" ./net train --data data --epochs 1 --threads 2 --out bad --bad-pictures 10%
holds "is told" sh -c "grep -Fq 'class03/bad\\x1b.jpg' err && ! LC_ALL=C grep -q '$esc\|$bidi' err"
holds "and listed in a line" grep -Fq 'class03/bad\x1b.jpg' bad/bad_pictures.txt
rm data/train/class03/bad*

# The compiler.
printf 'vmoe 1\n# a%s%s b\nmodel m { nothing%s }\n' "$bidi" "$esc" "$bidi" >"s$esc.vmoe"
ends 1 'V0' "a source" "$vmoec" check "s$esc.vmoe"
holds "is shown" sh -c "grep -Fq 's\\x1b.vmoe:3' err && grep -Fq 'nothing\\u202e' err && ! LC_ALL=C grep -q '$esc\|$bidi' err"
ends 1 'V0' "as JSON" "$vmoec" check --diag json "s$esc.vmoe"
holds "is escaped" sh -c "cat out err | grep -Fq 's\\u001b.vmoe' && ! cat out err | LC_ALL=C grep -q '$esc\|$bidi'"
ends 2 'no form' "words of its command line" "$vmoec" build x --emit "x$esc"
holds "are shown" sh -c "grep -Fq 'x\\x1b' err && ! grep -q '$esc' err"

# Tables: the classes begin with what a spreadsheet runs, and come back as they are.
n=0
printf '%s\n' "=1+1" "'it" "@x;y" '-"a"' >names
for split in train test; do
    n=0
    for class in data/$split/*; do
        n=$((n + 1))
        mv "$class" "data/$split/$(sed -n ${n}p names)"
    done
done
ends 0 done "a training on such classes" ./net train --data data --epochs 1 --threads 2 --out sums
ends 0 top-1 "a table of them" ./net eval --data data --weights sums/best.safetensors --per-class sums.csv --confusion pairs.csv
LC_ALL=C sort names >wanted
sed 1d sums.csv | sed 's/\(,[0-9]*\)\{4\}$//; s/^"\(.*\)"$/\1/; s/""/"/g' >cells
holds "no cell is run" sh -c '! cut -c 1 cells | grep "[-=+@]"'
holds "and each is the very name" sh -c "sed \"s/^'//\" cells | cmp - wanted"
holds "in pairs of classes as well" sh -c "grep -q \"^'=1+1,\" pairs.csv && ! grep -q '^\"\\{0,1\\}[-=+@]' pairs.csv"
finish
