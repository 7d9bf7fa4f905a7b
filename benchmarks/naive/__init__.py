"""A wallet as tutorials build it, for comparison alone: its models, and nothing of this project's."""
