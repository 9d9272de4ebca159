"""Ordinary least squares of the hourly wage on the years of education, over all datasets that were given.

Reads every CSV file in COCOS_DATASETS, pools the rows, and writes regression.json into COCOS_RESULTS.
"""

import csv
import json
import os

datasets = os.environ["COCOS_DATASETS"]
results = os.environ["COCOS_RESULTS"]

education, wage = [], []
for name in sorted(os.listdir(datasets)):
    with open(os.path.join(datasets, name), newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"{name}: {len(rows)} rows", flush=True)
    education += [float(row["education"]) for row in rows]
    wage += [float(row["wage"]) for row in rows]

count = len(wage)
mean_x = sum(education) / count
mean_y = sum(wage) / count
sxx = sum((x - mean_x) ** 2 for x in education)
syy = sum((y - mean_y) ** 2 for y in wage)
sxy = sum((x - mean_x) * (y - mean_y) for x, y in zip(education, wage))
slope = sxy / sxx

with open(os.path.join(results, "regression.json"), "w") as file:
    json.dump(
        {
            "rows": count,
            "slope": slope,
            "intercept": mean_y - slope * mean_x,
            "r_squared": sxy**2 / (sxx * syy),
        },
        file,
        indent=2,
    )
print("done", flush=True)
