"""Make and measure the models; nothing outside this folder imports it."""
