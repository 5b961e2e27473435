"""Explorers: a run seen from inside, with widgets for notebooks and the same pictures without them.

Start with `browser`, which has one class for each explorer: what two strategies would ask of a run's network, whom the class debts
owe, and what it brought. `question` puts the strategies to a stored network, `view` takes the data of one picture out of that,
`figures` draws it on any page, and `widgets` is what the explorers are made of. Runs are only read, finished or not.
"""
