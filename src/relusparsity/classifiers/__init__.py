"""What a classifier is worth beside its accuracy: calibration, and pictures that were corrupted or attacked."""
