#!/bin/sh
# Every way to use experts in one network (tests/golden/forms/experts.vmoe): it learns, resumes, and its predictions do not
# depend on neighbours, batch size or threads.
. "$top_srcdir/tests/e2e/common.sh"
forms=$top_srcdir/tests/golden/forms

"$make_data" idx gray 28 160 40 10
program "$forms/experts.vmoe" ./experts --set model.classes=10 --set train.micro=16images
program "$forms/experts.vmoe" ./experts_8 --set model.classes=10 --set train.micro=8images

train() { ./experts train --data gray --epochs 8 --batch 16 --lr 0.003 --threads "$@"; }
ends 0 '^done: best top-1' "it trains" train 2 --out a
ends 0 '^done: best top-1' "on one thread" train 1 --out b
holds "to the same bits" cmp a/last.safetensors b/last.safetensors
head -n 1 a/metrics.jsonl >first.line
first=$(field first.line loss)
last=$(field a/metrics.jsonl loss)
holds "it learns" awk "BEGIN { exit !($last < 0.95 * $first) }"
holds "the balance bias is saved" grep -q 's.blocks.0.two.router.balance_bias' a/last.safetensors

holds "all pictures" sh -c './experts predict --data gray --weights a/last.safetensors --json --logits --threads 2 >all'
holds "on one thread" sh -c './experts predict --data gray --weights a/last.safetensors --json --logits --threads 1 >one'
holds "in smaller batches" sh -c './experts_8 predict --data gray --weights a/last.safetensors --json --logits >eight'
holds "threads change no bit of a prediction" cmp all one
holds "nor does the batch" cmp all eight
holds "the first three alone" sh -c './experts predict --data gray --weights a/last.safetensors --json --logits --limit 3 >three'
sed 's/,"label.*//' three >names
grep -F -f names all >same
holds "nor do neighbours" cmp same three

# Such a learning rate leaves the weights as they start: the three experts of s[3].one are the same, those of s[3].two are not.
./experts train --data gray --epochs 1 --batch 16 --lr 1e-30 --set train.schedule.final=1e-30 --out start >/dev/null
cat >alike.awk <<'END'
{ for (i = 1; i <= NF; i++) v[n++] = $i }
END { for (i = 0; i < n; i++) if (v[i] != v[i % (n / experts)]) exit 1 }
END
weights() {
    header=$(od -An -tu8 -N8 start/last.safetensors | tr -d ' ')
    place=$(dd if=start/last.safetensors bs=1 skip=8 count="$header" 2>dd.err | tr '}' '\n' | grep "\"$1\"" |
        sed 's/.*"data_offsets":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/')
    od -An -v -tx4 -j $((8 + header + ${place% *})) -N $((${place#* } - ${place% *})) start/last.safetensors
}
weights s.blocks.2.one.experts.fc1.weight >alike
weights s.blocks.2.two.experts.fc1.weight >unlike
holds "experts that start alike" awk -v experts=3 -f alike.awk alike
ends 1 '' "and others do not" awk -v experts=2 -f alike.awk unlike

ends 0 ', 0 tensors that fail' "gradcheck" ./experts gradcheck --threads 1
finish
