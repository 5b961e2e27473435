"""Explorers: a run seen from inside, with widgets for notebooks and the same pictures without them.

Start with `widget`, which has the explorers of a notebook: what two strategies would ask of a run's network, whom the class debts
owe, and what it brought. `explorer.js` draws them, here and on the site. `question` puts the strategies to a stored network, `view`
takes out of that, and of other runs, what is shown, and `figures` draws it on any page. Runs are only read, finished or not.
"""
