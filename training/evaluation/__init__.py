"""How good pictures of scenes are: a classifier that sees what they show, its features' distance, accuracy on held-out prompts."""
