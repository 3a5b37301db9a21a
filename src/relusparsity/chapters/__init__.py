"""What one chapter of the book adds, a folder each: `experiment`, `tables`, `figures`; no chapter imports another."""
