"""minicnn itself."""

import minicnn


def style_function(case, net, engine="fast"):
    """Return minicnn's own fun(x) -> (value, gradient) of the case."""
    from cases import pictures

    content, style, _ = pictures(case)
    objective = case.objective
    return minicnn.style_objective(
        net,
        content,
        style,
        content_layers=[objective.content_layer],
        style_layers=list(objective.style_layers),
        content_weight=1.0,
        style_weight=objective.style_weight,
        tv_weight=0.0,
        engine=engine,
        threads=case.threads,
    )
