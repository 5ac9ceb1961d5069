#!/bin/sh
# The tensors of the library's networks, against the state dicts of timm: names, shapes, and which of them decay (timm
# leaves out vectors, biases, cls_token and pos_embed). `router` and `experts` stand in place of an MLP's tensors.
vmoec=$top_builddir/vmoec
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0

# One tensor a line, as `vmoec build --emit graph` prints it.
matrix() { echo "$1.weight ($2) decays"; echo "$1.bias ($3)"; }
vectors() { echo "$1.weight ($2)"; echo "$1.bias ($2)"; }
mlp() { matrix "$1.fc1" "$3,$2" "$3"; matrix "$1.fc2" "$2,$3" "$2"; }
experts() {     # name, width, hidden, experts
    echo "$1.router.weight ($4,$2) decays"
    matrix "$1.experts.fc1" "$4,$3,$2" "$4,$3"
    matrix "$1.experts.fc2" "$4,$2,$3" "$4,$2"
}

vit() {         # width, blocks with experts, experts
    echo "cls_token (1,1,$1)"
    echo "pos_embed (1,197,$1)"
    matrix patch_embed.proj "$1,3,16,16" "$1"
    for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
        vectors blocks.$i.norm1 "$1"
        vectors blocks.$i.norm2 "$1"
        matrix blocks.$i.attn.qkv "$(($1 * 3)),$1" $(($1 * 3))
        matrix blocks.$i.attn.proj "$1,$1" "$1"
        case " $2 " in
            *" $i "*) experts blocks.$i.mlp "$1" $(($1 * 4)) "$3" ;;
            *) mlp blocks.$i.mlp "$1" $(($1 * 4)) ;;
        esac
    done
    vectors norm "$1"
    matrix head "1000,$1" 1000
}

convnext() {    # width of the first stage; depths; blocks with experts; experts
    width=$1 stage=0
    matrix stem.0 "$1,3,4,4" "$1"
    vectors stem.1 "$1"
    for depth in $2; do
        if [ $stage -gt 0 ]; then
            vectors stages.$stage.downsample.0 "$width"
            matrix stages.$stage.downsample.1 "$((width * 2)),$width,2,2" $((width * 2))
            width=$((width * 2))
        fi
        block=0
        while [ $block -lt "$depth" ]; do
            name=stages.$stage.blocks.$block
            echo "$name.gamma ($width)"
            matrix $name.conv_dw "$width,1,7,7" $width
            vectors $name.norm $width
            case " $3 " in
                *" $stage.$block "*) experts $name.mlp $width $((width * 2)) "$4" ;;
                *) mlp $name.mlp $width $((width * 4)) ;;
            esac
            block=$((block + 1))
        done
        stage=$((stage + 1))
    done
    vectors head.norm $width
    matrix head.fc "1000,$width" 1000
}

check() {       # what, file, number of tensors; the expected ones are in want
    "$vmoec" build "$2" --emit graph 2>&1 | sed -n 's/^param //p' | sort >"$out/got"
    n=$((n + 1))
    if sort "$out/want" | cmp -s - "$out/got" && [ "$(wc -l <"$out/got")" = "$3" ]; then
        echo "ok $n - $1: $3 tensors"
    else
        echo "not ok $n - $1: $3 tensors"
        sort "$out/want" | diff - "$out/got" | head -20 | sed 's/^/# /'
    fi
}

dense() { printf 'vmoe 1\nuse std.%s\nmodel m amends %s { }\n' "${1%.*}" "$1" >"$out/$1.vmoe"; echo "$out/$1.vmoe"; }

vit 192 >"$out/want"
check vit.tiny "$(dense vit.tiny)" 152
vit 384 >"$out/want"
check vit.small "$(dense vit.small)" 152
vit 768 >"$out/want"
check vit.base "$(dense vit.base)" 152
convnext 96 "3 3 9 3" >"$out/want"
check convnext.tiny "$(dense convnext.tiny)" 182
convnext 96 "3 3 27 3" >"$out/want"
check convnext.small "$(dense convnext.small)" 344
convnext 128 "3 3 27 3" >"$out/want"
check convnext.base "$(dense convnext.base)" 344
vit 384 "1 3 5 7 9 11" 8 >"$out/want"
check "vit.small, experts in every second block" "$top_srcdir/examples/vit_small_every2.vmoe" 158
convnext 96 "3 3 9 3" "2.8 3.2" 4 >"$out/want"
check "convnext.tiny, experts in the last two stages" "$top_srcdir/examples/convnext_tiny_last2.vmoe" 184
# A difference must be seen.
"$vmoec" build "$(dense vit.tiny)" --emit graph | sed -n 's/^param //p' | sort >"$out/got"
n=$((n + 1))
vit 192 | sed 's/qkv/qvk/' | sort | cmp -s - "$out/got" && printf 'not '
echo "ok $n - another name is noticed"
echo "1..$n"
