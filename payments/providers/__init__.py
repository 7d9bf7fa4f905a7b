"""Who moves money for the platform outside of it; ``base`` says what is asked of each."""
