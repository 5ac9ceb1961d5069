#!/bin/sh
# A few steps on real pictures: Fashion-MNIST, and where they are, CIFAR-10 in its tar.gz and photos of ImageNet.
. "$top_srcdir/tests/e2e/common.sh"
fashion=/usr/share/datasets/fashion-mnist
shared=$top_srcdir/../shared/data

program "$top_srcdir/examples/quickstart.vmoe" ./quickstart
ends 0 '^done: best' "Fashion-MNIST: trains" ./quickstart train --data $fashion --out fashion --epochs 1 --limit 3840 \
    --set train.schedule.warmup=5steps --lr 0.01
holds "it learns" at_least "$(field fashion/metrics.jsonl top1)" $((3840 / 3))
ends 0 '"images":1000,' "evaluates" ./quickstart eval --data $fashion --weights fashion/best.safetensors --limit 1000 --json
ends 0 '^t10k-images-idx3-ubyte.gz\[[0-9]*\]: [0-9] 0\.[0-9]*, [0-9] 0\.[0-9]*, [0-9] 0\.[0-9]*  \(is [0-9]\)$' "predicts" \
    ./quickstart predict --weights fashion/best.safetensors --data $fashion --split test --limit 5 --top 3
holds "five rows" test "$(wc -l <out)" = 5

if [ -f "$shared/cifar10.tar.gz" ]; then
    for name in cifar10_convnext_moe cifar10_vit_moe; do
        program "$top_srcdir/examples/$name.vmoe" ./$name
        ends 0 'train: 50000 pictures, 10 classes' "CIFAR-10: $name trains from the tar.gz" ./$name train \
            --data "$shared/cifar10.tar.gz" --out $name.run --epochs 1 --limit 256
    done
    ./$name predict --data "$shared/cifar10.tar.gz" --weights $name.run/last.safetensors --limit 10 >ten.out
    holds "a limit takes pictures of all classes" test "$(sed 's/.*(is//' ten.out | sort -u | wc -l)" = 10
else
    skip "CIFAR-10: trains from the tar.gz" "no ../shared/data/cifar10.tar.gz"
fi

if [ -d "$shared/imagenet-sample" ]; then
    cat >photos.vmoe <<END
vmoe 1
model photos {
  input = image(224px, mean: imagenet, std: imagenet)
  classes = 200
  dim = 32
  stem { patch = conv(32px, stride: 32px, out: dim) }
  stage s {
    depth = 1
    block {
      residual {
        slot mlp {
          norm = layernorm
          fc = linear(out: dim)
        }
      }
    }
  }
  head {
    mean_pool
    fc = linear(out: classes)
  }
  moe {
    at = s[1]
    experts = 4
  }
}
END
    "$vmoec" build photos.vmoe >/dev/null
    mkdir tree
    ln -s "$shared/imagenet-sample" tree/train
    ln -s "$shared/imagenet-sample" tree/val
    ends 0 'train: 200 pictures, 200 classes' "photos train" ./photos train --data tree --out photos.run --epochs 1 --batch 32
    ends 0 '"predictions"' "photos are predicted" ./photos predict --weights photos.run/last.safetensors --top 1 --json \
        "$shared/imagenet-sample"
    holds "every one" test "$(grep -c '"predictions"' out)" = 200
    ./photos predict --weights photos.run/last.safetensors --logits --json "$shared/imagenet-sample" --threads 1 >one.out
    ./photos predict --weights photos.run/last.safetensors --logits --json "$shared/imagenet-sample" --threads 2 >two.out
    holds "with the same bits on one thread and two" cmp one.out two.out
else
    skip "photos are trained on and predicted" "no ../shared/data/imagenet-sample"
fi
finish
