#!/bin/sh
# What the backward pass makes again: the levels, how `auto` chooses among them, and that no number depends on them.
. "$top_srcdir/tests/e2e/common.sh"

"$make_data" idx gray 16 96 32 4
"$make_data" tree colour 20 96 32 4

# Three steps with drop path and noise in the routing. The weights' header tells specs apart, by their hash only.
weights() {
    ./"$1" train --data "$2" --out "$1.run" --epochs 1 --threads "$3" >/dev/null &&
        LC_ALL=C sed 's/"spec_hash":"[0-9a-f]*"//' "$1.run/last.safetensors" >"$1.weights"
}
for name in maps tokens; do
    data=gray
    [ $name = tokens ] && data=colour
    for level in none cheap block; do
        program "$here/tiny_$name.vmoe" ./$name.$level --set memory.recompute=$level
        ./$name.$level info --json >info.out
        holds "$name: $level is told" test "$(field info.out recompute)" = $level
        eval "$level=$(field info.out arena_train_bytes) ${level}_all=$(field info.out memory_train_bytes)"
    done
    echo "# $name: arenas of $none, $cheap and $block bytes"
    [ -n "$sanitized" ] || holds "$name: block takes less than cheap, cheap less than none" test "$block" -lt "$cheap" -a "$cheap" -lt "$none"
    holds "$name: three steps" weights $name.none $data 2
    for level in cheap block; do
        holds "$name: three steps, $level" weights $name.$level $data 1
        holds "$name: the same bits as with none" cmp $name.none.weights $name.$level.weights
    done
    chosen() { "$vmoec" build "$here/tiny_$name.vmoe" --emit plan "$@" | sed -n '1s/.*recompute = //p'; }
    holds "$name: without a limit the fastest" test "$(chosen)" = cheap
    [ -n "$sanitized" ] || holds "$name: what fits" test "$(chosen --set memory.limit="${block_all}B")" = block
    ends 1 'V0601.*recompute = block' "$name: nothing fits" "$vmoec" check "$here/tiny_$name.vmoe" --set memory.limit=100KiB
    ends 1 'recompute = block may need less' "$name: the chosen level does not fit" "$vmoec" check "$here/tiny_$name.vmoe" \
        --set memory.limit=100KiB --set memory.recompute=none
done
finish
