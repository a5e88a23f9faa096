"""A run as a folder: written by the process that trains, read by any number of others."""
