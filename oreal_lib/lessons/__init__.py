"""What the lessons (notebooks 00 to 07) need beyond the library, for students and those who teach them.

A module per lesson holds its exercises and pictures; `check` says what is wrong with an answer (`exercise` compares it with the
library), `contract` judges strategies, `race` compares strategies and people at equal clicks (`against` is the person), and
`photograph` asks a pretrained network about a cup of coffee. Start with notebooks/00_start_here.ipynb; to write a lesson of your
own, look at `start`.
"""
