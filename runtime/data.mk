# Labelled pictures: where they lie, how they are decoded, changed and delivered.
runtime_data_SOURCES = \
	%D%/data/image.c %D%/data/image.h \
	%D%/data/jpeg.c \
	%D%/data/exif.c %D%/data/exif.h \
	%D%/data/png.c \
	%D%/data/resample.c %D%/data/resample.h \
	%D%/data/augment.c %D%/data/augment.h \
	%D%/data/mix.c %D%/data/mix.h \
	%D%/data/colour.c %D%/data/colour.h \
	%D%/data/warp.c %D%/data/warp.h \
	%D%/data/blur.c %D%/data/blur.h \
	%D%/data/policy.c %D%/data/policy.h \
	%D%/data/erase.c %D%/data/erase.h \
	%D%/data/index.c %D%/data/index.h \
	%D%/data/source.h \
	%D%/data/doubt.c %D%/data/doubt.h \
	%D%/data/odd.c %D%/data/odd.h \
	%D%/data/split.c %D%/data/split.h \
	%D%/data/folder.c \
	%D%/data/archive.c \
	%D%/data/idx.c \
	%D%/data/cifar.c \
	%D%/data/holdout.c \
	%D%/data/reach.c \
	%D%/data/listing.c %D%/data/listing.h \
	%D%/data/flat.c \
	%D%/data/tars.c \
	%D%/data/shards.c %D%/data/shards.h \
	%D%/data/tar.c %D%/data/tar.h \
	%D%/data/labels.c %D%/data/labels.h \
	%D%/data/ilsvrc.def \
	%D%/data/blob.c %D%/data/blob.h \
	%D%/data/dataset.c %D%/data/dataset.h \
	%D%/data/loader.c %D%/data/loader.h

EXTRA_DIST += %D%/data/README.md
