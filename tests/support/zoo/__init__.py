"""Small random configurations of Hugging Face models, and their whole forwards on MAX and in torch."""
