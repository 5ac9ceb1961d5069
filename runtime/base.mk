# What everything of the runtime rests on.
runtime_base_SOURCES = \
	%D%/base/status.c %D%/base/status.h \
	%D%/base/buffer.c %D%/base/buffer.h \
	%D%/base/random.c %D%/base/random.h \
	%D%/base/file.c %D%/base/file.h \
	%D%/base/show.c %D%/base/show.h \
	%D%/base/finite.c %D%/base/finite.h \
	%D%/base/claim.c %D%/base/claim.h \
	%D%/base/blas.c %D%/base/blas.h \
	%D%/base/quota.c %D%/base/quota.h \
	%D%/base/processor.c %D%/base/processor.h \
	%D%/base/json.c %D%/base/json.h \
	%D%/base/thread.c %D%/base/thread.h

EXTRA_DIST += %D%/base/README.md
