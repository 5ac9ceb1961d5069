# Against other programs' results, recorded by the scripts that stand beside them.
check_PROGRAMS += %D%/reference/test_pictures
TESTS += %D%/reference/test_pictures

%C%_reference_test_pictures_SOURCES = %D%/reference/test_pictures.c
%C%_reference_test_pictures_CPPFLAGS = $(AM_CPPFLAGS) $(XXHASH_CFLAGS)
%C%_reference_test_pictures_LDADD = runtime/libvrt.a $(runtime_LIBS)

EXTRA_DIST += %D%/reference/pictures.py %D%/reference/pictures.txt %D%/reference/pictures
