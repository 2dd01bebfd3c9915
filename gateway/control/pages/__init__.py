"""Pages that people read, in English and Chinese, without a line of script."""
