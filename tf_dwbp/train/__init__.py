"""Training of real models, swapped in or not, and a comparison of the two.

`models` lists the models, `data` has the images, `side` is one model that trains, `compare` has
several train in turn from one checkpoint, `results` keeps what they did and judges it, `report` and
`plot` show it, `command` is the command line's view of all this.
"""
