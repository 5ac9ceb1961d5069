# The compiler: a library of its stages, which the tests use too, and the command line.
noinst_LIBRARIES += %D%/libcompiler.a
bin_PROGRAMS += vmoec

%C%_libcompiler_a_SOURCES = \
	%D%/graph/graph.c %D%/graph/graph.h \
	%D%/graph/build.c %D%/graph/build.h \
	%D%/graph/tensor.c \
	%D%/graph/gradient.c %D%/graph/differ.h \
	%D%/graph/cost.c \
	%D%/graph/print.c \
	%D%/graph/interpret.c %D%/graph/interpret.h \
	%D%/graph/interpret_node.h \
	%D%/ops/op.h %D%/ops/ops.def %D%/ops/facts.h \
	%D%/ops/activation.c \
	%D%/ops/add.c \
	%D%/ops/attention.c \
	%D%/ops/balance.c %D%/ops/balance.h \
	%D%/ops/class_token.c \
	%D%/ops/codes.c \
	%D%/ops/concat.c \
	%D%/ops/conv.c \
	%D%/ops/cross_entropy.c \
	%D%/ops/dispatch.c \
	%D%/ops/drop.c \
	%D%/ops/experts.c \
	%D%/ops/gain.c \
	%D%/ops/layernorm.c \
	%D%/ops/linear.c \
	%D%/ops/matmul.c \
	%D%/ops/mean_pool.c \
	%D%/ops/mul.c \
	%D%/ops/ops.c \
	%D%/ops/pool.c \
	%D%/ops/positions.c \
	%D%/ops/repeat.c \
	%D%/ops/route.c \
	%D%/ops/scale.c \
	%D%/ops/shape.c \
	%D%/ops/shapes.c %D%/ops/shapes.h \
	%D%/ops/slice.c \
	%D%/ops/softmax.c \
	%D%/ops/take_tokens.c \
	%D%/ops/transpose.c \
	%D%/ops/window.c %D%/ops/window.h \
	%D%/plan/plan.c %D%/plan/plan.h \
	%D%/plan/operand.h \
	%D%/plan/kernels.c %D%/plan/kernels.h %D%/plan/kernels.def \
	%D%/plan/steps.def %D%/plan/activations.def \
	%D%/plan/fuse.c \
	%D%/plan/launch.c %D%/plan/launch.h \
	%D%/plan/rules.c \
	%D%/plan/product.c \
	%D%/plan/lower.c %D%/plan/lower.h \
	%D%/plan/decisions.c \
	%D%/plan/weights.c \
	%D%/plan/update.c \
	%D%/plan/memory.c \
	%D%/plan/tile.c \
	%D%/plan/draw.c \
	%D%/plan/verify.c \
	%D%/emit/emit.h \
	%D%/emit/routing.h \
	%D%/emit/vec.c \
	%D%/emit/math.c \
	%D%/emit/epilogue.c \
	%D%/emit/gemm.c \
	%D%/emit/gemm_tn.c \
	%D%/emit/pack.c \
	%D%/emit/rows.c \
	%D%/emit/activation.c \
	%D%/emit/masks.c \
	%D%/emit/conv.c \
	%D%/emit/depthwise.c \
	%D%/emit/attention.c \
	%D%/emit/pool.c \
	%D%/emit/softmax.c \
	%D%/emit/codes.c \
	%D%/emit/routing.c \
	%D%/emit/route.c \
	%D%/emit/balance.c \
	%D%/emit/places.c \
	%D%/emit/moves.c \
	%D%/emit/loss.c \
	%D%/emit/optimiser.c \
	%D%/emit/step.c \
	%D%/emit/module.c %D%/emit/module.h \
	%D%/emit/objects.c \
	%D%/emit/target.c \
	%D%/files/scratch.c %D%/files/scratch.h \
	%D%/files/output.c %D%/files/output.h \
	%D%/files/kept.c %D%/files/kept.h \
	%D%/link/parts.c %D%/link/parts.h \
	%D%/link/packages.c %D%/link/packages.h \
	%D%/link/link.c %D%/link/link.h \
	%D%/info.c %D%/info.h \
	%D%/pipeline.c %D%/pipeline.h
%C%_libcompiler_a_CPPFLAGS = $(AM_CPPFLAGS) $(LLVM_CPPFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS) \
	-DDEFAULT_CC='"$(CC) $(LINK_SANITIZE)"' -DSOURCE_FOLDER='"$(source_folder)"' -DBUILD_FOLDER='"$(build_folder)"' \
	-DBINDIR='"$(bindir)"' -DPKGLIBDIR='"$(pkglibdir)"' -DPKGDATADIR='"$(pkgdatadir)"' \
	-DRUNTIME_LIBS='"$(runtime_LIBS)"'

vmoec_SOURCES = %D%/main.c
vmoec_LDADD = %D%/libcompiler.a lang/liblang.a $(LLVM_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS) -lm
