"""What client and server share of a message: bodies, forms, multipart."""
