#!/bin/sh
# Weights, flags and disks that are bad: what is said, and the exit status (1 bad input, 2 usage).
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_maps.vmoe" ./maps
program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" idx gray 16 64 32 4
./maps train --data gray --out run --epochs 1 --threads 1 >/dev/null 2>&1
w=run/last.safetensors

# Weights.
weights_error() {
    ends 1 "$3" "weights: $1" ./maps eval --data gray --weights "$2" --threads 1
}
edit() { "$make_data" edit $w "$1.safetensors" "$2" "$3"; }
holds "sound weights" ./maps eval --data gray --weights $w --threads 1
weights_error "no file" absent.safetensors 'absent.safetensors: No such file'
weights_error "a folder" run 'run: it is not a regular file'
: >empty.safetensors
weights_error "an empty file" empty.safetensors 'not a safetensors file, or it is cut'
head -c 300 $w >header.safetensors
weights_error "a cut header" header.safetensors 'not a safetensors file, or it is cut'
head -c "$(($(wc -c <$w) - 8))" $w >short.safetensors
weights_error "a tensor that is short" short.safetensors 'behind the end of the file \(is the file cut off\?\)'
{ cat $w; printf 'extra bytes'; } >long.safetensors
weights_error "bytes too many" long.safetensors '11 bytes too many'
bias=$(tr -c '[:print:]' '\n' <$w |
    sed -n 's/.*"stem.patch.bias":{"dtype":"F32","shape":\[16\],"data_offsets":\[\([0-9,]*\)\].*/\1/p')
from=${bias%,*} to=${bias#*,}
edit overlap "[$bias]" "[$((from - 64)),$((to - 64))]"
weights_error "tensors that overlap" overlap.safetensors 'overlaps another one|has a gap'
edit outside "[$bias]" "[$from,99999999]"
weights_error "a tensor that is too large for the file" outside.safetensors 'behind the end of the file'
edit backward "[$bias]" "[$to,$from]"
weights_error "offsets in the wrong order" backward.safetensors 'data_offsets'
edit negative "[$bias]" "[-64,0]"
weights_error "negative offsets" negative.safetensors 'data_offsets'
row="\"stem.patch.bias\":{\"dtype\":\"F32\",\"shape\":[16]"
edit large "$row" "\"stem.patch.bias\":{\"dtype\":\"F32\",\"shape\":[17]"
weights_error "a shape that does not fit its bytes" large.safetensors 'shape that does not fit'
edit overflow "$row" "\"stem.patch.bias\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4]"
weights_error "a shape that overflows" overflow.safetensors 'impossible shape'
edit shape "$row" "\"stem.patch.bias\":{\"dtype\":\"F32\",\"shape\":[4,4]"
weights_error "another shape" shape.safetensors 'another model:|other shape \(1\): stem.patch.bias \(4,4\) not \(16\)'
edit name '"stem.patch.bias"' '"stem.patch.offset"'
weights_error "another name" name.safetensors 'missing \(1\): stem.patch.bias'
holds "and the one that is too many" grep -q 'not of this model (1): stem.patch.offset' err
edit type "$row" "\"stem.patch.bias\":{\"dtype\":\"I32\",\"shape\":[16]"
weights_error "integers" type.safetensors 'neither F32, F16 nor BF16'
edit unknown "$row" "\"stem.patch.bias\":{\"dtype\":\"F31\",\"shape\":[16]"
weights_error "an unknown type" unknown.safetensors 'no known dtype'
edit json "$row" '"stem.patch.bias":"'
weights_error "a header that is no JSON" json.safetensors 'no valid JSON'
{ printf '\377\377\377\377\377\377\377\177'; tail -c +9 $w; } >promise.safetensors
weights_error "a header of 2^63 bytes" promise.safetensors 'not a safetensors file, or it is cut'
printf 'PK\003\004some zip' >zip.pth
weights_error "a pickle in a zip" zip.pth 'pickle.*which can run any program'
printf '\200\002}q' >old.pth
weights_error "an old pickle" old.pth 'weights_only=True'
ends 1 'weights of another model' "weights of another network" ./tokens predict --weights $w "$here/tiny_maps.vmoe" --threads 1
for line in 'missing \([0-9]+\): .*attn|missing \([0-9]+\): ' 'not of this model \([0-9]+\): ' 'other shape \([0-9]+\): .* not \('; do
    holds "says: $line" grep -Eq "$line" err
done
ends 1 'another model' "nor are they measured" ./tokens bench --weights $w --threads 1
ends 1 'another model' "and training does not start from them" ./tokens train --data gray --out no.run --weights $w --threads 1

# Usage.
usage_error() {
    name=$1 pattern=$2
    shift 2
    ends 2 "$pattern" "usage: $name" ./maps "$@"
}
usage_error "unknown command" 'did you mean train' trian
usage_error "unknown flag" 'did you mean --epochs' train --epoch 3
usage_error "flag of another command" 'train has no flag --top' train --top 3
usage_error "a flag without value" 'needs a value' train --data
usage_error "a number that is none" 'must be a number' train --data gray --lr fast
usage_error "a number out of range" 'must be' train --data gray --out no.run --lr -1
usage_error "experts are fixed" 'experts is fixed in this program.*' train --experts 16
holds "and how to rebuild" grep -q 'vmoec build .* -D experts=VALUE' err
usage_error "so they are without a command" 'experts is fixed' --experts 16
usage_error "train.micro is fixed" 'train.micro is fixed.*16 images' train --set train.micro=8
holds "and how to rebuild by --set" grep -q "vmoec build .* --set 'train.micro=VALUE images'" err
usage_error "unknown key" 'did you mean train.optim.lr' train --set train.optim.ls=1
usage_error "no weights" 'needs --weights FILE' eval --data gray
usage_error "no pictures" 'predict needs pictures' predict --weights $w
usage_error "an operand too many" 'takes no operand' train gray
usage_error "a batch that does not divide" 'multiple|micro|group' train --data gray --out no.run --batch 33
usage_error "a split that is a path" 'not the name of a split' eval --data gray --weights $w --split ../x
usage_error "too large a batch for bench" 'at most 16' bench --batch 1000
cat >no_data.vmoe <<END
vmoe 1
model no_data {
  input = image(8px, channels: 1)
  classes = 2
  dim = 8
  stem { conv(8px, stride: 8px, out: dim) }
  stage s { depth = 1; block { residual { norm = layernorm; fc = linear } } }
  head { mean_pool; fc = linear(out: classes) }
}
END
"$vmoec" build no_data.vmoe >/dev/null
ends 2 'train needs data: --data' "usage: no data" ./no_data train --out no.run
ends 2 'eval needs data: --data' "usage: no data for eval" ./no_data eval --weights $w
holds "nothing was left behind" sh -c '[ ! -e no.run ] || [ -z "$(ls no.run)" ]'

# Places that cannot be written.
: >file
ends 1 'cannot make the folder file/run.*choose another --out' "--out below a file" ./maps train --data gray --out file/run
if [ "$(id -u)" != 0 ]; then
    mkdir locked
    chmod a-w locked
    ends 1 'choose another --out' "--out that may not be written" ./maps train --data gray --out locked/run
else
    ends 1 'choose another --out' "--out that may not be written" ./maps train --data gray --out /proc/vmoe-run
fi
ends 1 'another training is running' "two trainings in one folder" sh -c './maps train --data gray --out twice --epochs 200 \
    --threads 1 >/dev/null 2>&1 & p=$!; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; [ -s twice/metrics.jsonl ] && break; done
    ./maps train --data gray --out twice --threads 1; s=$?; kill $p; wait $p 2>/dev/null; exit $s'

# A full disk: first while training (files of at most 8 blocks), then behind stdout.
ends 1 'File too large|No space left' "a disk that is full" sh -c "trap '' XFSZ; ulimit -f 8
    exec ./maps train --data gray --out full --threads 1"
holds "says how to go on" grep -q 'train --resume --out full' err
holds "no part of a file is left under its name" sh -c '! ls full/*.safetensors full/state/*.state 2>/dev/null | grep .'
holds "and with room again it goes on" ./maps train --data gray --out full --resume --threads 1
./maps train --data gray --out fresh --threads 1 >/dev/null
holds "to the same bits" cmp full/last.safetensors fresh/last.safetensors
if [ -w /dev/full ]; then
    ends 1 'could not be written' "results that cannot be written" sh -c './maps info >/dev/full'
fi
finish
