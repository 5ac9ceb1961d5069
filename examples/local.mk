# One file each; the tests build and run them all.
exampledir = $(pkgdatadir)/examples
dist_example_DATA = \
	%D%/quickstart.vmoe \
	%D%/cifar10_convnext_moe.vmoe \
	%D%/cifar10_vit_moe.vmoe \
	%D%/convnext_tiny_last2.vmoe \
	%D%/vit_small_every2.vmoe \
	%D%/own_block.vmoe \
	%D%/conv_mixer.vmoe \
	%D%/gmlp.vmoe

# The rows of the study, and the table of what they come to.
paperdir = $(exampledir)/paper
paper_files = \
	%D%/paper/convnext_b.vmoe \
	%D%/paper/convnext_b_21k.vmoe \
	%D%/paper/convnext_b_4_last2.vmoe \
	%D%/paper/convnext_b_8_last2_21k.vmoe \
	%D%/paper/convnext_b_iso.vmoe \
	%D%/paper/convnext_b_iso_8_last2.vmoe \
	%D%/paper/convnext_s.vmoe \
	%D%/paper/convnext_s_21k.vmoe \
	%D%/paper/convnext_s_4_last2.vmoe \
	%D%/paper/convnext_s_8_last2_21k.vmoe \
	%D%/paper/convnext_s_iso.vmoe \
	%D%/paper/convnext_s_iso_8_every2.vmoe \
	%D%/paper/convnext_s_iso_8_last2.vmoe \
	%D%/paper/convnext_t.vmoe \
	%D%/paper/convnext_t_16_last2.vmoe \
	%D%/paper/convnext_t_16_last2_21k.vmoe \
	%D%/paper/convnext_t_21k.vmoe \
	%D%/paper/convnext_t_32_last2_21k.vmoe \
	%D%/paper/convnext_t_4_last2.vmoe \
	%D%/paper/convnext_t_8_every2.vmoe \
	%D%/paper/convnext_t_8_every2_21k.vmoe \
	%D%/paper/convnext_t_8_last2.vmoe \
	%D%/paper/convnext_t_8_last2_21k.vmoe \
	%D%/paper/convnext_t_8_last2_r2_21k.vmoe \
	%D%/paper/convnext_t_8_last2_top2.vmoe \
	%D%/paper/convnext_t_8_last3.vmoe \
	%D%/paper/convnext_t_8_last3_21k.vmoe \
	%D%/paper/convnext_t_8_stage.vmoe \
	%D%/paper/convnext_t_8_stage_21k.vmoe \
	%D%/paper/vit_b.vmoe \
	%D%/paper/vit_b_21k.vmoe \
	%D%/paper/vit_b_8_every2.vmoe \
	%D%/paper/vit_b_8_every2_21k.vmoe \
	%D%/paper/vit_s.vmoe \
	%D%/paper/vit_s_16_last2.vmoe \
	%D%/paper/vit_s_21k.vmoe \
	%D%/paper/vit_s_4_last2.vmoe \
	%D%/paper/vit_s_8_every2.vmoe \
	%D%/paper/vit_s_8_every2_21k.vmoe \
	%D%/paper/vit_s_8_last2.vmoe \
	%D%/paper/vit_s_8_last2_top1.vmoe
dist_paper_DATA = %D%/paper/README.md $(paper_files)
