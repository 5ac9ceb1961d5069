#!/bin/sh
# The check of gradients on all random networks, right and wrong: about 5 minutes on one core.
exec "$top_builddir/tests/long/gradchecks" --all
