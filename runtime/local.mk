# The library that every generated program is linked with.
include $(srcdir)/runtime/base.mk
include $(srcdir)/runtime/data.mk
include $(srcdir)/runtime/report.mk

pkglib_LIBRARIES += %D%/libvrt.a

%C%_libvrt_a_SOURCES = \
	%D%/vrt.h \
	%D%/abi.def \
	%D%/processor.def \
	$(runtime_base_SOURCES) \
	$(runtime_data_SOURCES) \
	$(runtime_report_SOURCES) \
	%D%/io/safetensors.c %D%/io/safetensors.h \
	%D%/io/adapt.c %D%/io/adapt.h \
	%D%/io/adapt_rules.c %D%/io/adapt_rules.h \
	%D%/io/rename.c %D%/io/rename.h \
	%D%/io/positions.c %D%/io/positions.h \
	%D%/io/report.c %D%/io/report.h \
	%D%/io/state.c %D%/io/state.h \
	%D%/io/manifest.c %D%/io/manifest.h \
	%D%/io/verdict.c %D%/io/verdict.h \
	%D%/io/real.c %D%/io/real.h \
	%D%/io/class_map.c %D%/io/class_map.h \
	%D%/io/natural.c %D%/io/natural.h \
	%D%/io/network.c %D%/io/network.h \
	%D%/io/experts.c %D%/io/experts.h \
	%D%/io/put.c %D%/io/put.h \
	%D%/io/metrics.c %D%/io/metrics.h \
	%D%/io/progress.c %D%/io/progress.h \
	%D%/program/main.c \
	%D%/program/command.h \
	%D%/program/flags.c %D%/program/flags.h \
	%D%/program/options.c %D%/program/options.h \
	%D%/program/suggest.c %D%/program/suggest.h \
	%D%/program/settings.c %D%/program/settings.h \
	%D%/program/model.c %D%/program/model.h \
	%D%/program/splits.c %D%/program/splits.h \
	%D%/program/schedule.c %D%/program/schedule.h \
	%D%/program/evaluate.c \
	%D%/program/eval.c \
	%D%/program/evaluate.h \
	%D%/program/classes.c %D%/program/classes.h \
	%D%/program/message.c %D%/program/message.h \
	%D%/program/outputs.c %D%/program/outputs.h \
	%D%/program/analysis.c %D%/program/analysis.h \
	%D%/program/run.c %D%/program/run.h \
	%D%/program/identity.c %D%/program/identity.h \
	%D%/program/states.c %D%/program/states.h \
	%D%/program/position.c %D%/program/position.h \
	%D%/program/signals.c %D%/program/signals.h \
	%D%/program/training.c %D%/program/training.h \
	%D%/program/epoch.c \
	%D%/program/keep.c %D%/program/keep.h \
	%D%/program/faults.c %D%/program/faults.h \
	%D%/program/unread.c %D%/program/unread.h \
	%D%/program/train.c \
	%D%/program/dry_run.c \
	%D%/program/predict.c \
	%D%/program/bench.c \
	%D%/program/bench_data.c \
	%D%/program/check.c \
	%D%/program/info.c \
	%D%/program/reporting.c \
	%D%/program/derivative.c %D%/program/derivative.h \
	%D%/program/findings.c %D%/program/findings.h \
	%D%/program/gradcheck.c

# No contraction: a x b + c has the same bits on every processor, so pictures are Pillow's whatever -march is given.
%C%_libvrt_a_CFLAGS = $(AM_CFLAGS) -ffp-contract=off $(JANSSON_CFLAGS) $(ARCHIVE_CFLAGS) $(PNG_CFLAGS) $(ZLIB_CFLAGS) \
	$(JPEG_CFLAGS) $(XXHASH_CFLAGS) $(BLAS_CFLAGS) -DBLAS_FOLDER='"$(BLAS_FOLDER)"'

# What a program needs besides the library.
runtime_LIBS = $(JANSSON_LIBS) $(ARCHIVE_LIBS) $(PNG_LIBS) $(ZLIB_LIBS) $(JPEG_LIBS) $(XXHASH_LIBS) \
	-ldl -lpthread -lm

EXTRA_DIST += %D%/io/README.md %D%/program/README.md
