# The page of a run and its TensorBoard file, made from what a run folder holds.
runtime_report_SOURCES = \
	%D%/report/markup.c %D%/report/markup.h \
	%D%/report/history.c %D%/report/history.h \
	%D%/report/plot.c %D%/report/plot.h \
	%D%/report/layers.c %D%/report/layers.h \
	%D%/report/page.c %D%/report/page.h %D%/report/section.h \
	%D%/report/section_head.c %D%/report/section_curves.c %D%/report/section_experts.c %D%/report/section_classes.c \
	%D%/report/section_network.c %D%/report/style.def %D%/report/script.def \
	%D%/report/crc32c.c %D%/report/crc32c.h \
	%D%/report/events.c %D%/report/events.h

EXTRA_DIST += %D%/report/README.md
