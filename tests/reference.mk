# Against other programs' results, recorded by the scripts that stand beside them.
check_PROGRAMS += %D%/reference/test_pictures
TESTS += %D%/reference/test_pictures

%C%_reference_test_pictures_SOURCES = %D%/reference/test_pictures.c
%C%_reference_test_pictures_CPPFLAGS = $(AM_CPPFLAGS) $(XXHASH_CFLAGS)
%C%_reference_test_pictures_LDADD = runtime/libvrt.a $(runtime_LIBS)

EXTRA_DIST += %D%/reference/pictures.py %D%/reference/pictures.txt %D%/reference/pictures

# Networks at full size against timm. The programs are helpers of dense.sh.
reference_tests = %D%/reference/dense.sh
TESTS += $(reference_tests)
check_PROGRAMS += %D%/reference/hash_weights %D%/reference/compare_logits

%C%_reference_hash_weights_SOURCES = %D%/reference/hash_weights.c
%C%_reference_hash_weights_CFLAGS = $(AM_CFLAGS) -O2
%C%_reference_hash_weights_LDADD = -lm

%C%_reference_compare_logits_SOURCES = %D%/reference/compare_logits.c
%C%_reference_compare_logits_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_reference_compare_logits_LDADD = $(JANSSON_LIBS) -lm

EXTRA_DIST += $(reference_tests) %D%/reference/README.md %D%/reference/record_dense.py %D%/reference/dense.txt \
	%D%/reference/logits

# Networks with and without experts, small ones: networks/*.safetensors are what PyTorch computed.
reference_compiled = %D%/reference/compiled.c %D%/reference/compiled.h %D%/reference/hashes.c %D%/reference/hashes.h
reference_record = %D%/reference/record.c %D%/reference/record.h
check_PROGRAMS += %D%/reference/test_vectors
TESTS += %D%/reference/test_vectors
%C%_reference_test_vectors_SOURCES = %D%/reference/test_vectors.c $(reference_compiled) $(reference_record)
%C%_reference_test_vectors_CPPFLAGS = $(unit_cppflags)
%C%_reference_test_vectors_CFLAGS = $(unit_cflags)
%C%_reference_test_vectors_LDFLAGS = $(AM_LDFLAGS) -rdynamic
%C%_reference_test_vectors_LDADD = $(compiler_libs) $(runtime_libs)
EXTRA_DIST += %D%/reference/record_moe.py %D%/reference/twins.py %D%/reference/networks

# Optimisers and what else a recipe says: optimisers/ is what PyTorch and timm computed.
reference_recipes = %D%/reference/test_optimisers %D%/reference/test_recipe
check_PROGRAMS += $(reference_recipes)
TESTS += $(reference_recipes)
%C%_reference_test_optimisers_SOURCES = %D%/reference/test_optimisers.c $(reference_compiled) $(reference_record)
%C%_reference_test_optimisers_CPPFLAGS = $(unit_cppflags)
%C%_reference_test_optimisers_CFLAGS = $(unit_cflags)
%C%_reference_test_optimisers_LDFLAGS = $(AM_LDFLAGS) -rdynamic
%C%_reference_test_optimisers_LDADD = $(compiler_libs) $(runtime_libs)
%C%_reference_test_recipe_SOURCES = %D%/reference/test_recipe.c $(reference_compiled)
%C%_reference_test_recipe_CPPFLAGS = $(unit_cppflags)
%C%_reference_test_recipe_CFLAGS = $(unit_cflags)
%C%_reference_test_recipe_LDFLAGS = $(AM_LDFLAGS) -rdynamic
%C%_reference_test_recipe_LDADD = $(compiler_libs) $(runtime_libs)
EXTRA_DIST += %D%/reference/record_optimisers.py %D%/reference/optimisers
