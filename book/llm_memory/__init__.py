"""Every Byte: the GPU memory of large language models as exact ledgers."""
