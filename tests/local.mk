# All tests speak TAP. They keep kernels in the build tree, not in the user's folder. make update-golden accepts what the compiler
# now says; read the difference before committing it.
TEST_EXTENSIONS = .sh
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
AM_TESTS_ENVIRONMENT = top_srcdir='$(source_folder)'; top_builddir='$(abs_top_builddir)'; \
	VMOE_CACHE='$(abs_top_builddir)/tests/objects'; export top_srcdir top_builddir VMOE_CACHE;
CLEANFILES += %D%/objects/*

unit_cppflags = $(AM_CPPFLAGS) $(LLVM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS) $(ARCHIVE_CFLAGS) $(PNG_CFLAGS) $(ZLIB_CFLAGS) \
	$(JPEG_CFLAGS) $(XXHASH_CFLAGS)
unit_cflags = $(AM_CFLAGS)
compiler_libs = compiler/libcompiler.a lang/liblang.a $(LLVM_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS) $(CMOCKA_LIBS) -lm
runtime_libs = runtime/libvrt.a $(runtime_LIBS) $(CMOCKA_LIBS)

unit_tests = \
	%D%/unit/test_gradients \
	%D%/unit/test_interpret \
	%D%/unit/test_kernels \
	%D%/unit/test_verify \
	%D%/unit/test_random \
	%D%/unit/test_image \
	%D%/unit/test_data \
	%D%/unit/test_labels \
	%D%/unit/test_odd \
	%D%/unit/test_exif \
	%D%/unit/test_loader \
	%D%/unit/test_base \
	%D%/unit/test_processor \
	%D%/unit/test_claim \
	%D%/unit/test_quota \
	%D%/unit/test_json \
	%D%/unit/test_io \
	%D%/unit/test_settings \
	%D%/unit/test_adapt \
	%D%/unit/test_names \
	%D%/unit/test_mix \
	%D%/unit/test_policy \
	%D%/unit/test_experts
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)

%C%_unit_test_gradients_SOURCES = %D%/unit/test_gradients.c %D%/unit/networks.c %D%/unit/networks.h \
	%D%/unit/fixture_arena.c %D%/unit/fixture.h
%C%_unit_test_gradients_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_gradients_LDADD = $(compiler_libs)

%C%_unit_test_interpret_SOURCES = %D%/unit/test_interpret.c %D%/unit/fixture_arena.c %D%/unit/fixture.h
%C%_unit_test_interpret_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_interpret_LDADD = $(compiler_libs)

%C%_unit_test_verify_SOURCES = %D%/unit/test_verify.c %D%/unit/networks.c %D%/unit/networks.h \
	%D%/unit/fixture_arena.c %D%/unit/fixture.h
%C%_unit_test_verify_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_verify_LDADD = $(compiler_libs)

%C%_unit_test_kernels_SOURCES = %D%/unit/test_kernels.c %D%/unit/networks.c %D%/unit/networks.h \
	%D%/unit/fixture_arena.c %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_kernels_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_kernels_CFLAGS = $(unit_cflags)
%C%_unit_test_kernels_LDFLAGS = $(AM_LDFLAGS) -rdynamic
%C%_unit_test_kernels_LDADD = $(compiler_libs) $(runtime_libs)

%C%_unit_test_random_SOURCES = %D%/unit/test_random.c
%C%_unit_test_random_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_random_CFLAGS = $(unit_cflags)
%C%_unit_test_random_LDADD = $(runtime_libs)

%C%_unit_test_image_SOURCES = %D%/unit/test_image.c
%C%_unit_test_image_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_image_CFLAGS = $(unit_cflags)
%C%_unit_test_image_LDADD = $(runtime_libs)

%C%_unit_test_loader_SOURCES = %D%/unit/test_loader.c %D%/unit/pictures.c %D%/unit/pictures.h %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_loader_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_loader_CFLAGS = $(unit_cflags)
%C%_unit_test_loader_LDADD = $(runtime_libs)

%C%_unit_test_base_SOURCES = %D%/unit/test_base.c %D%/unit/pictures.c %D%/unit/pictures.h %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_base_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_base_CFLAGS = $(unit_cflags)
%C%_unit_test_base_LDADD = $(runtime_libs)

%C%_unit_test_processor_SOURCES = %D%/unit/test_processor.c
%C%_unit_test_processor_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_processor_CFLAGS = $(unit_cflags)
%C%_unit_test_processor_LDADD = $(runtime_libs)

%C%_unit_test_quota_SOURCES = %D%/unit/test_quota.c %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_quota_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_quota_CFLAGS = $(unit_cflags)
%C%_unit_test_quota_LDADD = $(runtime_libs)
%C%_unit_test_json_SOURCES = %D%/unit/test_json.c
%C%_unit_test_json_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_json_CFLAGS = $(unit_cflags)
%C%_unit_test_json_LDADD = $(runtime_libs)

%C%_unit_test_claim_SOURCES = %D%/unit/test_claim.c %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_claim_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_claim_CFLAGS = $(unit_cflags)
%C%_unit_test_claim_LDADD = $(runtime_libs)

unit_datasets = %D%/unit/datasets.c %D%/unit/datasets.h %D%/unit/pictures.c %D%/unit/pictures.h %D%/unit/fixture_folder.c \
	%D%/unit/fixture.h
%C%_unit_test_data_SOURCES = %D%/unit/test_data.c $(unit_datasets)
%C%_unit_test_data_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_data_CFLAGS = $(unit_cflags)
%C%_unit_test_data_LDADD = $(runtime_libs)

%C%_unit_test_labels_SOURCES = %D%/unit/test_labels.c $(unit_datasets)
%C%_unit_test_labels_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_labels_CFLAGS = $(unit_cflags)
%C%_unit_test_labels_LDADD = $(runtime_libs)

%C%_unit_test_odd_SOURCES = %D%/unit/test_odd.c $(unit_datasets)
%C%_unit_test_odd_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_odd_CFLAGS = $(unit_cflags)
%C%_unit_test_odd_LDADD = $(runtime_libs)

%C%_unit_test_exif_SOURCES = %D%/unit/test_exif.c
%C%_unit_test_exif_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_exif_CFLAGS = $(unit_cflags)
%C%_unit_test_exif_LDADD = $(runtime_libs)

%C%_unit_test_experts_SOURCES = %D%/unit/test_experts.c %D%/unit/stub_program.c %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_experts_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_experts_CFLAGS = $(unit_cflags)
%C%_unit_test_experts_LDADD = $(runtime_libs)

%C%_unit_test_io_SOURCES = %D%/unit/test_io.c %D%/unit/stub_program.c %D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_io_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_io_CFLAGS = $(unit_cflags)
%C%_unit_test_io_LDADD = $(runtime_libs)
%C%_unit_test_settings_SOURCES = %D%/unit/test_settings.c %D%/unit/stub_program.c
%C%_unit_test_settings_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_settings_CFLAGS = $(unit_cflags)
%C%_unit_test_settings_LDADD = $(runtime_libs)

%C%_unit_test_names_SOURCES = %D%/unit/test_names.c
%C%_unit_test_names_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_names_CFLAGS = $(unit_cflags)
%C%_unit_test_names_LDADD = $(runtime_libs)

%C%_unit_test_mix_SOURCES = %D%/unit/test_mix.c
%C%_unit_test_mix_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_mix_CFLAGS = $(unit_cflags)
%C%_unit_test_mix_LDADD = $(runtime_libs)

# Its numbers are recorded by tests/reference/positions.py.
%C%_unit_test_adapt_SOURCES = %D%/unit/test_adapt.c
%C%_unit_test_adapt_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_adapt_CFLAGS = $(unit_cflags)
%C%_unit_test_adapt_LDADD = $(runtime_libs)
EXTRA_DIST += %D%/reference/positions.py %D%/reference/positions.json

# Its hashes are recorded by tests/reference/policy.py.
%C%_unit_test_policy_SOURCES = %D%/unit/test_policy.c
%C%_unit_test_policy_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_policy_CFLAGS = $(unit_cflags)
%C%_unit_test_policy_LDADD = $(runtime_libs)
EXTRA_DIST += %D%/reference/policy.py %D%/reference/policy.txt

golden_tests = %D%/golden/golden.sh %D%/golden/manual.sh %D%/golden/limits.sh %D%/layers.sh %D%/format.sh
TESTS += $(golden_tests)
EXTRA_DIST += $(golden_tests) .clang-format %D%/golden/diag %D%/golden/forms

update-golden: vmoec
	$(AM_TESTS_ENVIRONMENT) UPDATE=1 $(SHELL) $(srcdir)/tests/golden/golden.sh
	$(AM_TESTS_ENVIRONMENT) UPDATE=1 $(SHELL) $(srcdir)/tests/e2e/paper.sh
.PHONY: update-golden
