def draw_samples(path, model, validation, config, step):
    pass
