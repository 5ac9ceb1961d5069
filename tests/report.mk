# The page of a run. The strict reader is a source of its own, since the end-to-end test has it too.
check_PROGRAMS += %D%/unit/test_report %D%/e2e/check_page
TESTS += %D%/unit/test_report %D%/e2e/report.sh
EXTRA_DIST += %D%/e2e/report.sh %D%/e2e/report_browser.sh

%C%_unit_test_report_SOURCES = %D%/unit/test_report.c %D%/unit/stub_program.c %D%/unit/strict_page.c %D%/unit/strict_page.h \
	%D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_unit_test_report_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_report_CFLAGS = $(unit_cflags)
%C%_unit_test_report_LDADD = $(runtime_libs)

%C%_e2e_check_page_SOURCES = %D%/e2e/check_page.c %D%/unit/strict_page.c %D%/unit/strict_page.h
