# The compiler: a library of its stages, which the tests use too, and the command line.
noinst_LIBRARIES += %D%/libcompiler.a
bin_PROGRAMS += vmoec

%C%_libcompiler_a_SOURCES = \
	%D%/graph/graph.c %D%/graph/graph.h \
	%D%/graph/ops.def \
	%D%/graph/nodes.def \
	%D%/graph/build.c %D%/graph/build.h \
	%D%/graph/build_layers.c \
	%D%/graph/build_moe.c \
	%D%/graph/gradient.c \
	%D%/graph/cost.c \
	%D%/graph/print.c \
	%D%/graph/interpret.c %D%/graph/interpret.h \
	%D%/graph/interpret_node.h \
	%D%/graph/interpret_rows.c \
	%D%/graph/interpret_maps.c \
	%D%/graph/interpret_attention.c \
	%D%/graph/interpret_route.c \
	%D%/graph/interpret_router.c \
	%D%/plan/plan.c %D%/plan/plan.h \
	%D%/plan/kernels.def \
	%D%/plan/fuse.c \
	%D%/plan/launch.c %D%/plan/launch.h \
	%D%/plan/lower.c %D%/plan/lower.h \
	%D%/plan/lower_rows.c \
	%D%/plan/lower_maps.c \
	%D%/plan/lower_moe.c \
	%D%/plan/decisions.c \
	%D%/plan/weights.c \
	%D%/plan/update.c \
	%D%/plan/memory.c \
	%D%/plan/tile.c \
	%D%/plan/draw.c \
	%D%/emit/emit.h \
	%D%/emit/routing.h \
	%D%/emit/vec.c \
	%D%/emit/math.c \
	%D%/emit/epilogue.c \
	%D%/emit/gemm.c \
	%D%/emit/gemm_tn.c \
	%D%/emit/pack.c \
	%D%/emit/rows.c \
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
