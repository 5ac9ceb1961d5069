# Whole small networks against recorded PyTorch vectors (record.py writes them), and the names of the library's tensors.
check_PROGRAMS += %D%/numeric/test_models
TESTS += %D%/numeric/test_models %D%/numeric/names.sh

%C%_numeric_test_models_SOURCES = %D%/numeric/test_models.c
%C%_numeric_test_models_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_numeric_test_models_LDADD = $(JANSSON_LIBS) -lm

EXTRA_DIST += %D%/numeric/names.sh %D%/numeric/record.py \
	%D%/numeric/vit.vmoe %D%/numeric/convnext.vmoe %D%/numeric/vit_moe.vmoe %D%/numeric/convnext_moe.vmoe \
	%D%/numeric/own.vmoe \
	%D%/numeric/vit.json %D%/numeric/vit.safetensors %D%/numeric/vit.trained.safetensors \
	%D%/numeric/convnext.json %D%/numeric/convnext.safetensors %D%/numeric/convnext.trained.safetensors \
	%D%/numeric/vit_moe.json %D%/numeric/vit_moe.safetensors %D%/numeric/vit_moe.trained.safetensors \
	%D%/numeric/vit_moe-1.json %D%/numeric/vit_moe-1.trained.safetensors \
	%D%/numeric/convnext_moe.json %D%/numeric/convnext_moe.safetensors %D%/numeric/convnext_moe.trained.safetensors \
	%D%/numeric/own.json %D%/numeric/own.safetensors %D%/numeric/own.trained.safetensors \
	%D%/numeric/pictures/train/a/0.png %D%/numeric/pictures/train/a/1.png \
	%D%/numeric/pictures/train/b/2.png %D%/numeric/pictures/train/b/3.png \
	%D%/numeric/pictures/train/c/4.png %D%/numeric/pictures/train/c/5.png \
	%D%/numeric/pictures/train/d/6.png %D%/numeric/pictures/train/e/7.png
