"""What the lessons (notebooks 00 to 07) need beyond the library: each one's exercises and pictures, one module a lesson."""
