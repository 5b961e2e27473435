"""Weak labels, for Table 4: the annotator names every class in a superpixel. Start with `labels`, what such an answer is and costs;
`losses` learns from it (stage one), and `pseudo` turns it into labels of pixels, from which stage two learns.
"""
