"""Distributed training, one process per device: launching, monitoring and ending the ranks."""
