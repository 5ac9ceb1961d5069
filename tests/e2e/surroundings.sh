#!/bin/sh
# What a program finds when it starts: descriptors that are closed.
. "$top_srcdir/tests/e2e/common.sh"
program "$here/tiny_maps.vmoe" ./maps
"$make_data" idx gray 16 64 32 4
"$make_data" tree colour 20 64 32 4

# Descriptors. A picture that cannot be read makes a training talk.
first=$(find colour/train -type f | sort | head -n 1)
printf x >"$first"
program "$here/tiny_tokens.vmoe" ./tokens
talk() { ./tokens train --data colour --threads 1 --epochs 2 --bad-pictures 0.5 --out "$@"; }
closed() { "$@" <&- >&- 2>&-; }
results() { cut -d , -f 1-9 "$1/metrics.csv"; }
talk open >/dev/null 2>&1
holds "0, 1 and 2 are closed: what a training says is lost" closed talk shut
holds "every line of the metrics is JSON" sh -c '! grep -v "^{.*}$" shut/metrics.jsonl'
holds "and the results are the same" test "$(results open)" = "$(results shut)"
holds "in the weights, too" cmp open/last.safetensors shut/last.safetensors
no_stdout() { "$@" >&-; }
ends 1 'could not be written' "1 is closed: a result is an error" no_stdout ./maps info
ends 1 'could not be written' "that of train --json, too" no_stdout talk lost --json
ends 1 'could not be written' "and of a dry run" no_stdout talk lost --dry-run
no_stdin() { "$@" <&-; }
ends 1 'cannot read the list on stdin: Bad file' "0 is closed: there is no list of pictures" \
    no_stdin ./tokens predict - --weights open/last.safetensors
# The linker, which opens files of its own, finds the three open.
cat >cc <<'END'
#!/bin/sh
for n in 0 1 2; do [ -e /proc/$$/fd/$n ] || exit 9; done
exec cc "$@"
END
chmod +x cc
build_closed() { CC=./cc "$vmoec" build "$here/tiny_maps.vmoe" -o built <&- >&- 2>&-; }
holds "the compiler, all three closed" build_closed
holds "its program is whole" ./built info
ends 1 'cannot write standard output' "1 is closed: what it prints is an error" no_stdout "$vmoec" info "$here/tiny_maps.vmoe"
finish
