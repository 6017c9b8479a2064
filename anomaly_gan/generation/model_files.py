"""The names of the two files that a model is; without torch, for those who only look at the description."""

WEIGHTS = "generator.safetensors"
DESCRIPTION = "model.json"
