"""Settlement documents: what a settlement says about itself, its statements, and the offline computation."""
