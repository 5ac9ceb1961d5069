#!/bin/sh
# Every example in every form, what the programs say of themselves, and what the generated code is made of.
. "$top_srcdir/tests/e2e/common.sh"
examples=$top_srcdir/examples

for file in "$examples"/*.vmoe; do
    name=$(basename "$file" .vmoe)
    for form in ast spec graph plan llvm; do
        holds "$name --emit $form" "$vmoec" build "$file" --emit $form -o "$name.$form"
        holds "$name --emit $form is not empty" test -s "$name.$form"
    done
    # Each buffer of the training step is drawn.
    "$vmoec" build "$file" --emit svg -o "$name.svg"
    sed -n '/^arena train:/,/^function/p' "$name.plan" | sed -n 's/.* + \([0-9]*\)  launches.*/\1/p' | sort >buffers
    sed -n 's/^<rect.*<title>.*MiB (\([0-9]*\) bytes), launches.*/\1/p' "$name.svg" | sort >drawn
    holds "$name --emit svg draws the buffers of the plan" sh -c 'test -s drawn && cmp buffers drawn'
    holds "$name --emit svg is whole" sh -c "sed -n '1p;\$p' '$name.svg' | tr -d '\n' | grep -q '^<svg .*</svg>$'"
    ends 0 '^model ' "vmoec info $name" "$vmoec" info "$file"
    ends 0 '"params_total":' "vmoec info --json $name" "$vmoec" info "$file" --json
    # Instrumented code takes the code generator minutes.
    case $sanitized$name in 1convnext_tiny_last2 | 1vit_small_every2)
        skip "$name builds" "the sanitizers make it too large"
        continue ;;
    esac
    program "$file" "./$name"
    pass "$name builds"
    "$vmoec" info "$file" --json >info.1 && ./"$name" info --json | sed 's/,"threads":.*}$/}/' >info.2
    # Red zones take room of their own in an instrumented program: there the sizes of the arenas differ, and only they.
    [ -z "$sanitized" ] || sed -i -E 's/"(arena|memory)_(train|eval)_bytes":[0-9]+,//g' info.1 info.2
    holds "$name info says what vmoec info says" cmp info.1 info.2
    ends 0 'gradcheck' "$name without a command prints its help" ./"$name"
    for command in train eval predict bench check-data info gradcheck; do
        ends 0 -- "$name $command --help" ./"$name" $command --help
    done
done
for form in asm obj; do
    holds "--emit $form" "$vmoec" build "$here/tiny_tokens.vmoe" --emit $form -o "tiny.$form"
    holds "--emit $form is not empty" test -s "tiny.$form"
done
holds "the assembly defines the table" grep -q '^vrt_program_table:' tiny.asm
ends 2 'vmoec: --set needs a value; see' "a flag that lacks its value" "$vmoec" check "$here/tiny_tokens.vmoe" --set
ends 2 'vmoec: -o needs a value; see' "a letter that does" "$vmoec" build "$here/tiny_tokens.vmoe" -o
ends 2 'vmoec: --json takes no value; see' "a flag with a value too many" "$vmoec" info "$here/tiny_tokens.vmoe" --json=x
ends 2 'unknown option --sett; did you mean --set.; see' "a flag that is none" "$vmoec" check "$here/tiny_tokens.vmoe" --sett
ends 2 'unknown option -x; see' "a letter that is none" "$vmoec" check "$here/tiny_tokens.vmoe" -x
ends 2 'no form' "--emit of no form" "$vmoec" build "$here/tiny_tokens.vmoe" --emit wasm
ends 1 'V0702|cannot write' "an output that cannot be written" "$vmoec" build "$here/tiny_tokens.vmoe" --emit spec -o absent/x

# What the generated code is made of: kernels with constant shapes and vectors in registers, one for each distinct shape; in
# what evaluation and the forward pass of training can reach there is no call of a library's matrix product.
reach() {
    awk -v root="$2" '
        /^define / { match($0, /@("[^"]*"|[^(]*)/); now = substr($0, RSTART, RLENGTH); body[now] = "" }
        /^}/ { now = "" }
        now != "" && !/^define / { body[now] = body[now] "\n" $0 }
        END {
            todo[++n] = root
            for (i = 1; i <= n; i++) {
                print todo[i]
                rest = body[todo[i]]
                while (match(rest, /@("[^"]*"|[A-Za-z0-9_.$]+)/)) {
                    called = substr(rest, RSTART, RLENGTH)
                    rest = substr(rest, RSTART + RLENGTH)
                    if (!(called in seen)) { seen[called] = 1; todo[++n] = called }
                }
            }
        }' "$1"
}
for name in convnext_tiny_last2 vit_small_every2 quickstart; do
    for root in @vmoe_eval @vmoe_train_forward; do
        reach $name.llvm $root >reached
        holds "$name $root: generated matrix products" grep -q '^@k_gemm_[0-9]' reached
        ends 1 '' "$name $root: no library's" grep -Ei '^@(vrt_gemm|cblas|sgemm)' reached
        holds "$name $root: each kernel once" sh -c '! sort reached | uniq -d | grep .'
    done
    holds "$name: vector types" grep -Eq 'fma.v(8|16)f32\(<(8|16) x float>' $name.llvm
done

holds "no network has its name in the compiler" sh -c "cd '$top_srcdir' && ! grep -rniE '\\b(vit|deit)|convnext' lang compiler \
    runtime --include='*.[chyl]' --include='*.def' --include='*.mk'"
finish
