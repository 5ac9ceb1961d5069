#!/bin/sh
# From a fresh clone to a trained classifier: build the compiler, compile examples/quickstart.vmoe, train it on Fashion-MNIST,
# evaluate it on the 10,000 test pictures, predict a few of them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=/usr/share/datasets/fashion-mnist
"$here/setup.sh"
cd "$here"
echo "== building the compiler (build/)"
[ -x configure ] || autoreconf -fi >/dev/null 2>&1
mkdir -p build
cd build
[ -f Makefile ] || "$here/configure" --quiet
make --no-print-directory -s -j"$(nproc)"
echo "== vmoec build examples/quickstart.vmoe"
./vmoec build "$here/examples/quickstart.vmoe" -o quickstart
run=runs/quickstart
n=1
while [ -e "$run" ]; do
    n=$((n + 1))
    run=runs/quickstart-$n
done
mkdir -p runs
echo "== training on $data"
./quickstart train --data "$data" --out "$run"
echo "== evaluating on the 10,000 test pictures"
./quickstart eval --data "$data" --weights "$run/best.safetensors"
./quickstart eval --data "$data" --weights "$run/best.safetensors" --json
echo "== predicting a few test pictures"
./quickstart predict --weights "$run/best.safetensors" --data "$data" --split test --limit 5 --top 3
cat <<END

The run is in build/$run: weights (best.safetensors, last.safetensors), metrics.jsonl, metrics.csv, spec.vmoe, and report.html, which a browser shows.
Try next:
  cd build
  ./quickstart info
  ./quickstart bench --batch 1
  ./vmoec info $here/examples/convnext_tiny_last2.vmoe -D experts=8
  ./vmoec build $here/examples/quickstart.vmoe --set train.optim.lr=1e-3 -o another
END
